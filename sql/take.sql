-- Purpose  Write the lease for the rows that claim.sql locked: the second look of a claim.
-- Locks    poller.claim: a new row. poller.worker: key share, through the foreign key.
-- Fence    this statement's snapshot is newer than any commit that could have freed those locks, so
--          whatever was claimed or failed since the first look is seen here and left out. Leases that this worker has
--          seen before that look (%(seen)s) need no second one: their keys only become fewer.
-- Index    claim_handler; the primary key of poller.attempt.
-- Returns  the lease; its keys, if they are not all of those asked for; the time; leases seen now, some if they are many.
insert into poller.claim (handler_id, worker_id, keys)
select %(handler)s, %(worker)s, array_agg(o.key order by o.place)
  from unnest(%(keys)s::text[]) with ordinality as o (key, place)
 where o.key not in (
         select k.key from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = %(handler)s and c.lease <> all (%(seen)s::uuid[]))
   and (not exists (select from poller.attempt as a where a.handler_id = %(handler)s)
        or (select true from poller.attempt as a
             where a.handler_id = %(handler)s and a.key = o.key limit 1) is null)
having count(*) > 0
returning lease, case when cardinality(keys) < cardinality(%(keys)s::text[]) then keys end, poller.now(),
          array(select c.lease::text from poller.claim as c where c.handler_id = %(handler)s limit 50)
