-- Purpose  List the names of declared jobs, to suggest what may have been meant.
-- Locks    none.
-- Fence    none: read-only.
-- Index    job's primary key.
select coalesce(array_agg(j.name order by j.name), '{{}}') as names
  from (select j.name from poller.job as j where j.declared or %(all)s order by j.name limit 1000) as j
