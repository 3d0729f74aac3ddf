-- Purpose  Declare workers dead: those named whose lock is free still, and, if asked, those whose heartbeat
--          has lapsed.
-- Locks    poller.worker: the rows of the dead, those that no other session is writing.
-- Fence    the condition is looked at again under the row's lock; a worker that beats in between lives.
-- Index    none: one row a worker.
with named as materialized (
    select s.worker_id as id
      from poller.session as s
     where s.worker_id = any(%(silent)s::integer[])
       and s.postmaster_started_at = pg_postmaster_start_time()
       and pg_try_advisory_xact_lock(hashtextextended('poller worker ' || s.worker_id, 0))
)
update poller.worker
   set died_at = poller.now(),
       held = (select sum(cardinality(c.keys)) from poller.claim as c where c.worker_id = worker.id)
 where died_at is null
   and (id in (select id from named)
        or %(lapsed)s and heartbeat_at + lease < poller.now())
returning id as worker, supervisor, host, pid, heartbeat_at + lease < poller.now() as has_lapsed
