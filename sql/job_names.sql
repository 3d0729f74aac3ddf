-- Purpose  Name the declared jobs, to tell what may have been meant.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    none: one row a job.
select coalesce(array_agg(j.name order by j.name), '{{}}')
  from poller.job as j
 where j.declared
