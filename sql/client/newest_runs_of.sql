-- Purpose  List the newest runs of each of some jobs, so many (`most`) of one: what runs every second hides no other.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run's unique key (job, planned_at), backwards.
-- The name is asked for as one of an array, and ordered by: see newest_runs.sql.
select r.id, r.job, r.planned_at, r.started_at, r.finished_at, r.status, r.attempt, r.error, r.done, r.total,
       extract(epoch from case r.status when 'running' then (select poller.now()) else r.finished_at end - r.started_at)::float8
           as seconds
  from unnest(%(jobs)s::text[]) as j (name)
 cross join lateral (
     select *
       from poller.run as o
      where o.job = any (array[j.name])
      order by o.job desc, o.planned_at desc
      limit %(most)s
 ) as r
