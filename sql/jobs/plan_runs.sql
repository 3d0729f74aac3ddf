-- Purpose  Insert runs for the slots of some jobs, with each job's own function and arguments.
-- Locks    poller.run: new rows.
-- Fence    the unique key (job, planned_at): a slot that another planner has planned stays as it is.
-- Index    job's primary key; run's unique key.
insert into poller.run (job, function, planned_at, due_at, status, args, finished_at)
select j.name, j.function, s.planned_at, s.planned_at + make_interval(secs => s.delay), s.status, j.args,
       case when s.status = 'skipped' then (select poller.now()) end
  from unnest(%(jobs)s::text[], %(slots)s::timestamptz[], %(delays)s::float8[], %(statuses)s::text[])
    as s (job, planned_at, delay, status)
  join poller.job as j on j.name = s.job
 order by s.planned_at
    on conflict (job, planned_at) do nothing
returning job
