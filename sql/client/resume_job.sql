-- Purpose  Let a job go on from now: slots that came while it was held are not made up for; a fixed delay is due.
--          No row: it is not held.
-- Locks    poller.job: the job's row.
-- Fence    compare and set: it is held.
-- Index    job's primary key.
update poller.job
   set paused_at = null, paused_until = null, planned_to = poller.now(), next_at = null, exhausted = false
 where name = %(name)s and paused_at is not null
returning name
