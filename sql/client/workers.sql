-- Purpose  List the workers, with what they hold. One whose heartbeat has lapsed is shown as dead, though
--          it may not have been declared so: only a running supervisor does that.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none: one row a worker.
-- Times are subtracted as numbers: before Postgres 17 an infinite one cannot be, and would cost the others theirs.
select w.id, w.host, w.pid,
       case when w.died_at is not null or w.heartbeat_at + w.lease < poller.now() then 'dead'
            when w.stopping_at is not null then 'stopping'
            when w.drain_at is not null then 'draining'
            else 'alive' end as state,
       w.slots,
       coalesce((select sum(cardinality(c.keys)) from poller.claim as c where c.worker_id = w.id), 0)::integer
           as in_flight,
       w.heartbeat_at,
       extract(epoch from poller.now())::float8 - extract(epoch from w.heartbeat_at)::float8 as heartbeat_age,
       w.started_at
  from poller.worker as w
 order by w.id
