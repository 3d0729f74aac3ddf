-- Purpose  Write the lease for rows that a claim has locked: its second look. A claim calls this within its own statement
--          (sql/claim/claim.sql), so that it takes one round trip, and no transaction waits for its client.
-- Locks    poller.claim: a new row. poller.worker: key share, through the foreign key.
-- Fence    the snapshot of the INSERT is newer than any commit that could have freed those locks, so whatever was claimed
--          or failed since the first look is seen here and left out: "VOLATILE functions obtain a fresh snapshot at the
--          start of each query they execute" (Postgres docs, 36.7). Leases that this worker has seen before that look
--          (`seen`) need no second one: their keys only become fewer. So are the worker's death or drain, and the handler's
--          pause: once that is committed, no claim that begins takes anything.
-- Index    claim_handler; attempt_key; the primary keys of poller.worker and poller.handler.
-- Returns  the lease, or null if nothing is left, the worker is dead or drains, or the handler is paused; its keys, if they are
--          not all of those asked for; the time; leases seen now, some if they are many.
create or replace function poller.take(
    handler integer, worker bigint, keys text[], seen uuid[], sorted boolean,
    out lease uuid, out ours text[], out claimed_at timestamptz, out known uuid[]
)
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
    as $$
begin
    insert into poller.claim as new (handler_id, worker_id, keys, sorted)
    select take.handler, take.worker, array_agg(o.key order by o.place), take.sorted
      from unnest(take.keys) with ordinality as o (key, place)
     where o.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = take.handler and c.lease <> all (take.seen))
       and (not exists (select from poller.attempt as a where a.handler_id = take.handler)
            or (select true from poller.attempt as a
                 where a.handler_id = take.handler and poller.digest(a.key) = poller.digest(o.key) limit 1) is null)
       and exists (select from poller.worker as w where w.id = take.worker and w.died_at is null and w.drain_at is null)
       and not exists (select from poller.handler as h
                        where h.id = take.handler and h.paused_at is not null and coalesce(h.paused_until > poller.now(), true))
    having count(*) > 0
    returning new.lease, case when cardinality(new.keys) < cardinality(take.keys) then new.keys end, poller.now(),
              array(select c.lease from poller.claim as c where c.handler_id = take.handler limit 50)
         into take.lease, take.ours, take.claimed_at, take.known;
end
$$;
