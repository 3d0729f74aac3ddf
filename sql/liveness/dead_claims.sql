-- Purpose  Fetch all that one dead worker held, with what is remembered of the rows, for the sweeper to settle: of the
--          worker whose oldest lease is the oldest.
-- Locks    none: the settling fences itself.
-- Fence    none: what is read here may be settled by another in the meantime; settle.sql finds out. So `held` was noted
--          when the worker was declared dead: others may have taken back most of it.
-- Index    claim_worker; attempt_key.
with dead as materialized (
    select w.id, w.held
      from poller.worker as w
      join poller.claim as c on c.worker_id = w.id
     where w.died_at is not null and c.handler_id = any(%(handlers)s::integer[])
     order by c.claimed_at
     limit 1
), held as materialized (
    select greatest((select dead.held from dead), sum(cardinality(c.keys))) as held
      from poller.claim as c
     where c.worker_id = (select dead.id from dead)
)
select c.lease::text as lease, c.worker_id as worker, c.handler_id, k.key, c.during,
       coalesce(a.attempt, 0) as attempt,
       coalesce(a.crashes, 0) as crashes,
       coalesce(a.company, 0) as company,
       case when a.company > 0 then cardinality(c.keys) else (select held.held from held) end as beside,
       (select held.held from held) = 1 as alone,
       extract(epoch from poller.now() - coalesce(a.first_at, c.claimed_at))::float8 as age,
       extract(epoch from poller.now() - c.claimed_at)::float8 as seconds
  from poller.claim as c
 cross join unnest(c.keys) as k (key)
  left join lateral (
       select a.* from poller.attempt as a where a.handler_id = c.handler_id and poller.digest(a.key) = poller.digest(k.key) limit 1) as a on true
 where c.worker_id = (select dead.id from dead) and c.handler_id = any(%(handlers)s::integer[])
 order by c.lease, k.key
