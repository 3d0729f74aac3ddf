-- Purpose  Make way for new runs (overlap "replace"): cancel waiting runs, ask running ones to stop.
-- Locks    poller.run: the jobs' unfinished rows.
-- Fence    compare and set: the status.
-- Index    run_unfinished.
update poller.run as r
   set cancel_at = (select poller.now()),
       status = case r.status when 'pending' then 'cancelled' else r.status end
 where r.job = any (%(jobs)s::text[]) and r.status in ('pending', 'running') and r.cancel_at is null
