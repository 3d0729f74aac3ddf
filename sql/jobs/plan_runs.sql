-- Purpose  Insert runs for the slots of some jobs, with each job's own function and arguments, and tell a worker of those that
--          may start: one notification a function.
-- Locks    poller.run: new rows. Commits that notify are serialised by Postgres: one for all that was planned.
-- Fence    the unique key (job, planned_at): a slot that another planner has planned stays as it is.
-- Index    job's primary key; run's unique key; handler's unique key.
insert into poller.run (job, function, planned_at, due_at, status, args, finished_at)
select j.name, j.function, s.planned_at, s.planned_at + make_interval(secs => s.delay), s.status, j.args,
       case when s.status = 'skipped' then (select poller.now()) end
  from unnest(%(jobs)s::text[], %(slots)s::timestamptz[], %(delays)s::float8[], %(statuses)s::text[])
    as s (job, planned_at, delay, status)
  join poller.job as j on j.name = s.job
 order by s.planned_at
    on conflict (job, planned_at) do nothing
returning job,
          (select pg_notify('poller', concat_ws(' ', 'handler', h.id::text, pg_current_xact_id()::text))::text
             from poller.handler as h
            where h.table_name = 'poller.run' and h.status = run.function
              and run.status = 'pending' and run.due_at <= poller.now())
