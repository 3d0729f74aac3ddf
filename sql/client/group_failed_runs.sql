-- Purpose  Group the next so many failed runs of some jobs by their cause, the newest first, and say where each job's end.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run_failed, from its end, once for each job. The name is asked for as in newest_runs.sql.
with looked as materialized (
    select b.at, r.*
      from unnest(%(jobs)s::text[], %(finished_at)s::timestamptz[], %(ids)s::bigint[], %(most_of)s::bigint[])
           with ordinality as b (job, finished_at, id, most, at)
     cross join lateral (
        select r.id, r.error, r.kind, r.place, coalesce(r.started_at, r.finished_at) as started_at, r.finished_at
          from poller.run as r
         where r.function = any (array[b.job]) and r.status = 'failed' and (r.finished_at, r.id) < (b.finished_at, b.id)
         order by r.function desc, r.finished_at desc, r.id desc
         limit b.most) as r
     limit %(most)s
), cause as (
    select l.at, coalesce(l.kind, substring(l.error from '^\w+(?=: )'), left(l.error, 200), '') as kind,
           coalesce(l.place, '') as place, count(*) as rows, min(l.started_at) as first_at, max(l.finished_at) as last_at,
           (array_agg(l.id::text order by l.finished_at desc, l.id desc))[1] as example_key,
           (array_agg(l.error order by l.finished_at desc, l.id desc))[1] as example
      from looked as l
     group by 1, 2, 3
), ends as (
    select distinct on (l.at) l.at, count(*) over (partition by l.at) as looked, l.finished_at::text, l.id
      from looked as l
     order by l.at, l.finished_at, l.id
)
select e.at::integer - 1 as at, e.looked, e.finished_at, e.id,
       c.kind, c.place, c.rows, c.first_at, c.last_at, c.example_key, c.example
  from ends as e
  join cause as c on c.at = e.at
