-- Purpose  Insert a run of a job for now, with its own arguments or those given. No row: there is no such job.
-- Locks    poller.run: a new row.
-- Fence    the unique key (job, planned_at).
-- Index    job's primary key.
insert into poller.run (job, function, args)
select j.name, j.function, coalesce(%(args)s::jsonb, j.args)
  from poller.job as j
 where j.name = %(job)s
returning id
