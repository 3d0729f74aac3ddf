-- Purpose  Name for each job one living worker that knows it already: its program's declaration is about to be
--          overwritten, if ours differs.
-- Locks    none.
-- Fence    none: read-only. A program that starts at the same time is not seen; it sees ours.
-- Index    handler's unique key; one row a worker.
select distinct on (h.status) h.status as job, w.host, w.pid
  from poller.handler as h
  join poller.worker as w on h.id = any (w.handlers)
 where h.table_name = 'poller.run' and h.status = any (%(jobs)s::text[])
   and w.died_at is null and w.stopping_at is null and w.heartbeat_at + w.lease > poller.now()
 order by h.status, w.id desc
