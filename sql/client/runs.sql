-- Purpose  List runs, of one job or of all, the newest first; of one that runs, how long it has. Those of the schedules
--          that were made of a job are its runs, too.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    run_newest; or run_function and run's unique key: from their ends (newest_runs.sql).
select r.id, r.job, r.planned_at, r.started_at, r.finished_at, r.status, r.attempt, r.error, r.done, r.total,
       extract(epoch from case r.status when 'running' then (select poller.now()) else r.finished_at end - r.started_at)::float8
           as seconds
  from ({newest}) as r
 order by r.planned_at desc, r.id desc
 limit %(limit)s
