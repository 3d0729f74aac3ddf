-- Purpose  Resume a job from now: slots missed while it was paused are not made up for; a fixed delay is due, and
--          so is what was to run once. No row: it is not paused.
-- Locks    poller.job: the job's row.
-- Fence    compare and set: it is paused.
-- Index    job's primary key.
update poller.job
   set paused_at = null, paused_until = null,
       planned_to = case when kind = 'at' then planned_to else poller.now() end, next_at = null, exhausted = false,
       changed_at = poller.now()
 where name = %(name)s and paused_at is not null
returning name
