-- Purpose  Return which of some names are those of schedules made at run time, with the job whose function each runs, and when.
-- Locks    none.
-- Fence    none: read at start-up; declare_job.sql leaves such a row alone in any case.
-- Index    job's primary key.
select j.name, j.function, j.schedule
  from poller.job as j
 where j.name = any (%(names)s::text[]) and not j.declared
 order by j.name
