-- Purpose  Enter the runs of a job's slots.
-- Locks    poller.run: new rows.
-- Fence    the unique key (job, planned_at): a slot that another has planned stays as it is.
-- Index    run's unique key.
insert into poller.run (job, function, planned_at, due_at, status, args, finished_at)
select %(job)s, %(function)s, s.planned_at, s.planned_at + make_interval(secs => s.delay), s.status,
       %(args)s::jsonb, case when s.status = 'skipped' then poller.now() end
  from unnest(%(slots)s::timestamptz[], %(delays)s::float8[], %(statuses)s::text[])
    as s (planned_at, delay, status)
 order by s.planned_at
    on conflict (job, planned_at) do nothing
returning id
