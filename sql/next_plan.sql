-- Purpose  Ask how long there is nothing to plan.
-- Locks    none.  Fence  none: a hint.
-- Index    one row a job.
select extract(epoch from min(coalesce(j.next_at, poller.now())) - poller.now())::float8
  from poller.job as j
 where j.function = any (%(known)s::text[])
   and j.schedule is not null
   and j.paused_at is null
   and (j.next_at is not null or j.schedule not like '@after %%')
