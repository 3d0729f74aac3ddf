-- Purpose  Find the last run of a job that was started or cancelled, among its newest so many.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run's unique key, from its end. The name is asked for as in newest_runs.sql.
select r.status, coalesce(r.finished_at, r.started_at) as at
  from (select r.status, r.started_at, r.finished_at, r.planned_at
          from poller.run as r
         where r.job = any (array[%(job)s])
         order by r.job desc, r.planned_at desc
         limit %(most)s) as r
 where r.status not in ('pending', 'skipped')
 order by r.planned_at desc
 limit 1
