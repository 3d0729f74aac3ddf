-- Purpose  Find workers whose liveness lock nobody holds, though their session of this run of Postgres held it.
-- Locks    each such worker's advisory lock, until the statement ends.
-- Fence    a hint: declare_dead.sql decides. A row in poller.session proves that no crash or restart of
--          Postgres has broken the session; without one the heartbeat alone counts.
-- Index    none: one row a worker.
with candidate as materialized (
    select w.id
      from poller.worker as w
      join poller.session as s on s.worker_id = w.id
     where w.died_at is null and s.postmaster_started_at = pg_postmaster_start_time()
)
select id from candidate
 where pg_try_advisory_xact_lock(hashtextextended('poller worker ' || id, 0))
