-- Purpose  Stop a run: a waiting one is cancelled, a running one is asked to stop. No row: it has ended, or
--          there is none.
-- Locks    poller.run: the run's row; poller.job: its job's, if that has a fixed delay.
-- Fence    compare and set: the status.
-- Index    run's primary key.
update poller.run as r
   set cancel_at = coalesce(r.cancel_at, poller.now()),
       status = case r.status when 'pending' then 'cancelled' else r.status end
 where r.id = %(id)s and r.status in ('pending', 'running')
returning r.job, r.status
