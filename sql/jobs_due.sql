-- Purpose  Fetch the jobs that have something to plan, and what of theirs is unfinished.
-- Locks    poller.job: those rows, FOR NO KEY UPDATE SKIP LOCKED.
-- Fence    none: the unique key of poller.run.
-- Index    run_unfinished; one row a job.
-- A job whose function no program here declares is left to a program that does. A fixed delay without a next
-- slot waits for the finish of its run (the trigger run_moves sets it); if there is none, it is due.
select j.name, j.function, j.schedule, j.tz, j.overlap, j.misfire,
       extract(epoch from j.grace)::float8 as grace, extract(epoch from j.jitter)::float8 as jitter,
       j.starts_at, j.ends_at, j.args, j.anchor, j.planned_to, j.next_at, poller.now() as now,
       (select count(*) from poller.run as r where r.job = j.name and r.status = 'pending') as pending,
       (select count(*) from poller.run as r where r.job = j.name and r.status = 'running') as running
  from poller.job as j
 where j.function = any (%(known)s::text[])
   and j.schedule is not null
   and j.paused_at is null
   and (j.next_at <= poller.now()
        or j.next_at is null and not j.exhausted
           and (j.schedule not like '@after %%'
                or not exists (select from poller.run as r
                                where r.job = j.name and r.status in ('pending', 'running'))))
 order by j.next_at nulls first
 limit 100
   for no key update of j skip locked
