-- Purpose  Count a job's failed runs by day (UTC) since a number of days ago; of its function the newest so many (`most`).
-- Locks    none.
-- Fence    none: read-only.
-- Index    run_failed, backwards.
-- The function is asked for as one of an array, and ordered by: see newest_runs.sql.
with failed as materialized (
    select r.job, r.function, r.finished_at
      from poller.run as r
     where r.function = any (array[%(function)s])
       and r.status = 'failed'
       and r.finished_at >= poller.now() - make_interval(days => %(days)s)
     order by r.function desc, r.finished_at desc, r.id desc
     limit %(most)s
)
select (f.finished_at at time zone 'UTC')::date as day, count(*) as failed, (select count(*) from failed) as looked
  from failed as f
 where %(name)s in (f.job, f.function)
   and f.finished_at < poller.now() + interval '1 day'
 group by 1
 order by 1
