-- Purpose  List the jobs whose runs wait for a function that neither this program nor a living worker has: a renamed
--          job, say.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run_pending; handler's unique key; one row a worker.
select r.job, count(*) as runs
  from poller.run as r
 where r.status = 'pending'
   and r.function <> all (%(known)s::text[])
   and not exists (select from poller.handler as h
                     join poller.worker as w on w.died_at is null and h.id = any (w.handlers)
                    where h.table_name = 'poller.run' and h.status = r.function)
 group by r.job
 order by r.job
 limit 20
