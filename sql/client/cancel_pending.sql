-- Purpose  Cancel a job's waiting runs.
-- Locks    poller.run: those rows.
-- Fence    compare and set: the status.
-- Index    run_unfinished.
update poller.run
   set status = 'cancelled', cancel_at = poller.now()
 where job = %(name)s and status = 'pending'
returning id
