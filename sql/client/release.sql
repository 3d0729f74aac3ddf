-- Purpose  Give up leases by force: take keys out of the claims that hold them, count their attempts, and make
--          them due at once. Returns the rows that were in flight.
-- Locks    1. the claims, in the order of their ids, as in settle.sql; 2. attempts.
-- Fence    what it takes away is the holder's own fence: a claim that no longer holds the key lets it write
--          nothing more about that row.
-- Index    claim_handler; attempt_key.
with held as materialized (
    select c.lease, c.handler_id, c.worker_id, c.keys, c.claimed_at, c.during, h.status
      from poller.claim as c
      join poller.handler as h on h.id = c.handler_id
     where c.handler_id = any(%(handlers)s::integer[])
       and (%(keys)s::text[] is null or c.keys && %(keys)s::text[])
     order by c.lease
       for update of c
), row_of as materialized (
    select held.*, k.key, k.place,
           %(keys)s::text[] is null or k.key = any(%(keys)s::text[]) as is_freed
      from held
     cross join unnest(held.keys) with ordinality as k (key, place)
), rest as materialized (
    select lease, array_agg(key order by place) filter (where not is_freed) as keys
      from row_of group by lease
), given_back as (
    delete from poller.claim as c using rest
     where c.lease = rest.lease and rest.keys is null
), kept as (
    update poller.claim as c set keys = rest.keys from rest
     where c.lease = rest.lease and rest.keys is not null
), counted as (
    insert into poller.attempt as a (handler_id, key, state, attempt, error, visit, first_at)
    select r.handler_id, r.key, 'waiting', 1, 'released by force', r.lease, r.claimed_at
      from row_of as r
     where r.is_freed
     order by r.handler_id, r.key
        on conflict (handler_id, poller.digest(key)) do update
       set state = 'waiting',
           attempt = a.attempt + 1,
           next_at = poller.now(),
           error = excluded.error, kind = null, place = null, traceback = null,
           changed_at = poller.now()
    returning a.handler_id, a.key, a.attempt
), recorded as (
    insert into poller.event
           (handler_id, key, verdict, from_status, attempt, seconds, error, worker_id, lease)
    select r.handler_id, r.key, 'released', r.status, counted.attempt,
           extract(epoch from poller.now() - r.claimed_at), 'released by force', r.worker_id, r.lease
      from row_of as r
      join counted using (handler_id, key)
     where r.is_freed
)
select handler_id, key, during from row_of where is_freed
