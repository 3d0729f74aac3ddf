-- Purpose  Fetch jobs that have something to plan.
-- Locks    poller.job: those rows, FOR NO KEY UPDATE SKIP LOCKED: jobs that another planner holds are left to it, even
--          if it was stopped midway.
-- Fence    the rows' locks: a count after them (unfinished.sql) sees the runs that the previous planner inserted.
-- Index    job_next; run_unfinished for fixed delays that wait for a finish.
-- A job whose function this program does not declare is left to a program that does. A fixed delay without a next
-- slot waits for the finish of its run (the trigger run_moves sets it); if there is none, it is due. A job that could
-- not be planned here is put aside for a while, unless its row has changed.
with clock as materialized (select poller.now() as now)
select j.*, (select now from clock) as now
  from unnest(%(known)s::text[]) as k (function)
 cross join lateral (
       select j.name, j.function, j.xmin::text as version, j.schedule, j.tz, j.overlap, j.misfire,
              extract(epoch from j.grace)::float8 as grace, extract(epoch from j.jitter)::float8 as jitter,
              j.starts_at, j.ends_at, j.anchor, j.planned_to, j.next_at
         from poller.job as j
        where j.function = k.function
          and j.schedule is not null and j.paused_at is null and not j.exhausted
          and coalesce(j.next_at, timestamptz '-infinity') <= (select now from clock)
          and (j.next_at is not null
               or j.kind <> 'fixed_delay'
               or not exists (select from poller.run as r
                               where r.job = j.name and r.status in ('pending', 'running')))
          and (j.name || ' ' || j.xmin::text) <> all (%(aside)s::text[])
        order by coalesce(j.next_at, timestamptz '-infinity')
        limit %(most)s
          for no key update of j skip locked) as j
 limit %(most)s
