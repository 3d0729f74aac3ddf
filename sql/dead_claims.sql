-- Purpose  Fetch leases whose worker is dead, with what is remembered of their rows, for the sweeper to settle.
-- Locks    none: the settling fences itself.
-- Fence    none: what is read here may be settled by another in the meantime; settle.sql finds out.
-- Index    claim_worker; attempt's primary key.
select c.lease::text, c.worker_id, c.handler_id, k.key,
       coalesce(a.attempt, 0) as attempt,
       coalesce(a.crashes, 0) as crashes,
       extract(epoch from poller.now() - coalesce(a.first_at, c.claimed_at))::float8 as age,
       extract(epoch from poller.now() - c.claimed_at)::float8 as seconds
  from (select c.* from poller.claim as c
          join poller.worker as w on w.id = c.worker_id
         where w.died_at is not null and c.handler_id = any(%(handlers)s::integer[])
         order by c.claimed_at
         limit %(limit)s) as c
 cross join unnest(c.keys) as k (key)
  left join poller.attempt as a on a.handler_id = c.handler_id and a.key = k.key
 order by c.lease, k.key
