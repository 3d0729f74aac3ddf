-- Purpose  Declare dead a worker that its supervisor saw end.
-- Locks    poller.worker: its row.
-- Fence    the supervisor's own random id.
-- Index    none: one row a worker.
update poller.worker
   set died_at = poller.now(),
       held = (select sum(cardinality(c.keys)) from poller.claim as c where c.worker_id = worker.id)
 where died_at is null and supervisor = %(supervisor)s and pid = %(pid)s
returning id
