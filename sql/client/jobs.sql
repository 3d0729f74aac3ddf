-- Purpose  List the jobs, or those of some names, with their last run and their unfinished runs. A slot that
--          was skipped is not a run. For either, no more than `few` runs of a job are read; `recent` says how many.
-- Locks    none.
-- Fence    none: read-only.
-- Index    job's primary key, one row for each job listed; run's unique key, from its end; run_unfinished. The name is
--          asked for as in newest_runs.sql.
-- The arguments are returned as text, so that no content of theirs fails a listing.
select j.name, j.function, j.schedule, j.tz, j.after, j.args::text as args, j.overlap, j.declared, j.starts_at, j.ends_at,
       j.anchor, j.planned_to, j.next_at, j.exhausted, j.paused_at, j.paused_until, u.pending, u.running,
       case when l.is_run then l.status end as last_status,
       case when l.is_run then coalesce(l.finished_at, l.started_at) end as last_at, coalesce(l.recent, 0) as recent,
       (select poller.now()) as now
  from poller.job as j
 cross join lateral (
       select count(*) filter (where r.status = 'pending') as pending, count(*) filter (where r.status = 'running') as running
         from (select r.status
                 from poller.run as r
                where r.job = any (array[j.name]) and r.status in ('pending', 'running')
                order by r.job, r.id
                limit %(few)s) as r) as u
  left join lateral (
       select r.status, r.started_at, r.finished_at, r.status not in ('pending', 'skipped') as is_run,
              (count(*) over ())::integer as recent
         from (select r.status, r.started_at, r.finished_at, r.planned_at
                 from poller.run as r
                where r.job = any (array[j.name])
                order by r.job desc, r.planned_at desc
                limit %(few)s) as r
        order by r.status in ('pending', 'skipped'), r.planned_at desc
        limit 1) as l on true
 where (%(names)s::text[] is null or j.name = any(%(names)s))
   and (%(after)s::text is null or j.name > %(after)s)
 order by j.name
 limit %(limit)s
