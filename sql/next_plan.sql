-- Purpose  Ask in how many seconds there is something to plan; null if nothing is in sight.
-- Locks    none.
-- Fence    none: a hint; jobs_due.sql decides.
-- Index    as jobs_due.sql.
select extract(epoch from min(coalesce(j.next_at, poller.now())) - poller.now())::float8
  from poller.job as j
 where j.function = any (%(known)s::text[])
   and j.schedule is not null
   and j.paused_at is null
   and (j.next_at is not null
        or not j.exhausted
           and (j.schedule not like '@after %%'
                or not exists (select from poller.run as r
                                where r.job = j.name and r.status in ('pending', 'running'))))
