-- Purpose  Say up to when a job's slots are decided, and when the next one is: never again, if it is exhausted.
-- Locks    poller.job: the job's row, locked before in this transaction.
-- Fence    the lock.
-- Index    job's primary key.
update poller.job
   set planned_to = %(planned_to)s, next_at = %(next_at)s, exhausted = %(exhausted)s
 where name = %(job)s
