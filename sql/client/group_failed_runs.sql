-- Purpose  Group the newest so many failed runs of a job by their cause.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run_failed, from its end. The name is asked for as in newest_runs.sql.
with looked as materialized (
    select r.id, r.error, r.kind, r.place, coalesce(r.started_at, r.finished_at) as started_at, r.finished_at
      from poller.run as r
     where r.function = any (array[%(job)s]) and r.status = 'failed'
     order by r.function desc, r.finished_at desc, r.id desc
     limit %(most)s
)
select (select count(*) from looked) as looked,
       coalesce(l.kind, substring(l.error from '^\w+(?=: )'), left(l.error, 200), '') as kind, coalesce(l.place, '') as place,
       count(*) as rows, min(l.started_at) as first_at, max(l.finished_at) as last_at,
       (array_agg(l.id::text order by l.finished_at desc, l.id desc))[1] as example_key,
       (array_agg(l.error order by l.finished_at desc, l.id desc))[1] as example
  from looked as l
 group by 2, 3
