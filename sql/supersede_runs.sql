-- Purpose  Make way for a new run (overlap "replace"): cancel what waits, ask what runs to stop.
-- Locks    poller.run: the job's unfinished rows.
-- Fence    compare and set: the status.
-- Index    run_unfinished.
update poller.run as r
   set cancel_at = poller.now(),
       status = case r.status when 'pending' then 'cancelled' else r.status end
 where r.job = %(job)s and r.status in ('pending', 'running') and r.cancel_at is null
