-- Purpose  Fetch a job by its name, with the options that a schedule made of it at run time takes over.
-- Locks    none.
-- Fence    none: the job may be declared anew at any time; its schedules keep what they took.
-- Index    job's primary key.
select j.declared, j.function, j.overlap, j.misfire, extract(epoch from j.grace)::float8 as grace,
       extract(epoch from j.jitter)::float8 as jitter, j.starts_at, j.ends_at,
       extract(epoch from j.keep)::float8 as keep
  from poller.job as j
 where j.name = %(name)s
