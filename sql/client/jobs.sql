-- Purpose  List the jobs, or the one of a name, with their last run and what of theirs is unfinished. A slot that
--          was skipped is no run.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    job's primary key, one row for each job listed; run's unique key, from its end; run_unfinished.
-- The arguments are a text here: a listing does not fail for what they hold.
select j.name, j.function, j.schedule, j.tz, j.after, j.args::text as args, j.overlap, j.declared, j.starts_at, j.ends_at,
       j.anchor, j.planned_to, j.next_at, j.exhausted, j.paused_at, j.paused_until,
       (select count(*) from poller.run as r where r.job = j.name and r.status = 'pending') as pending,
       (select count(*) from poller.run as r where r.job = j.name and r.status = 'running') as running,
       l.status as last_status, coalesce(l.finished_at, l.started_at) as last_at, (select poller.now()) as now
  from poller.job as j
  left join lateral (
       select r.status, r.started_at, r.finished_at
         from poller.run as r
        where r.job = j.name and r.status not in ('pending', 'skipped')
        order by r.planned_at desc
        limit 1) as l on true
 where (%(name)s::text is null or j.name = %(name)s)
   and (%(after)s::text is null or j.name > %(after)s)
 order by j.name
 limit %(limit)s
