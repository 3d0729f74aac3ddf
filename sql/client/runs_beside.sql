-- Purpose  Find the runs of the same job that were planned just before and just after a run.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run's primary key; run's unique key (job, planned_at), in both directions.
-- The name is asked for as one of an array, and ordered by: see newest_runs.sql.
select (select b.id from poller.run as b
         where b.job = any (array[r.job]) and b.planned_at < r.planned_at
         order by b.job desc, b.planned_at desc limit 1) as before,
       (select a.id from poller.run as a
         where a.job = any (array[r.job]) and a.planned_at > r.planned_at
         order by a.job, a.planned_at limit 1) as after
  from poller.run as r
 where r.id = %(id)s
