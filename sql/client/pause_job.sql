-- Purpose  Hold a job: nothing is planned, and what waits does not start. No row: it is held already.
-- Locks    poller.job: the job's row.
-- Fence    compare and set: it is not held.
-- Index    job's primary key.
update poller.job
   set paused_at = poller.now()
 where name = %(name)s and paused_at is null
returning name
