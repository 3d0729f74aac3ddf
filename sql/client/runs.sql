-- Purpose  List runs, of one job or of all, the newest first; for a running one, its duration so far. The runs of
--          schedules made of a job are its runs, too.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run_newest; or run_function and run's unique key: backwards (newest_runs.sql).
select r.id, r.job, r.planned_at, r.started_at, r.finished_at, r.status, r.attempt, r.error, r.done, r.total,
       extract(epoch from case r.status when 'running' then (select poller.now()) else r.finished_at end - r.started_at)::float8
           as seconds
  from ({newest}) as r
 order by r.planned_at desc, r.id desc
 limit %(limit)s
