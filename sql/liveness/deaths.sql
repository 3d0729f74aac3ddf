-- Purpose  Look for deaths: the sweeper's one question while all is well.
-- Locks    each free worker's advisory lock, until the statement ends.
-- Fence    a hint: declare_dead.sql decides, and settling fences itself. A row in poller.session proves that no
--          crash or restart of Postgres has broken the worker's session; without one the heartbeat alone counts.
-- Index    claim_worker; one row a worker.
with candidate as materialized (
    select w.id
      from poller.worker as w
      join poller.session as s on s.worker_id = w.id
     where w.died_at is null and s.postmaster_started_at = pg_postmaster_start_time()
)
select array(select c.id from candidate as c
              where pg_try_advisory_xact_lock(hashtextextended('poller worker ' || c.id, 0))) as silent,
       exists (select from poller.claim as c join poller.worker as w on w.id = c.worker_id
                where w.died_at is not null and c.handler_id = any(%(handlers)s::integer[])) as claims,
       exists (select from poller.worker as w
                where w.died_at is null and w.supervisor is distinct from %(supervisor)s::uuid) as strangers,
       coalesce((select extract(epoch from min(w.heartbeat_at + w.lease) - poller.now())::float8
                   from poller.worker as w where w.died_at is null), 'infinity') as lapse_in,
       extract(epoch from poller.now())::float8 as clock
