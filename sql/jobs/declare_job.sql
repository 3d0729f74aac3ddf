-- Purpose  Insert a job that a program declares, or update its row. Planned slots stay; an edited schedule
--          begins anew from now. A fixed rate has its first slot when it is first inserted. A schedule made at run time is
--          left as it is: programs that declare its name are refused before (schedules_named.sql).
-- Locks    poller.job: the job's own row, unless it is as declared.
-- Fence    none: the last program to start wins.
-- Index    job's primary key.
with given as (
    select %(name)s::text as name, %(schedule)s::text as schedule, %(tz)s::text as tz,
           %(overlap)s::text as overlap, %(misfire)s::text as misfire,
           make_interval(secs => %(grace)s) as grace, make_interval(secs => %(jitter)s) as jitter,
           %(starts_at)s::timestamptz as starts_at, %(ends_at)s::timestamptz as ends_at,
           %(after)s::text[] as after, make_interval(secs => %(keep)s) as keep,
           (select poller.now()) as anchor
), edited as (
    select j.name
      from poller.job as j join given as g using (name)
     where (j.schedule, j.tz, j.starts_at, j.ends_at)
        is distinct from (g.schedule, g.tz, g.starts_at, g.ends_at)
)
insert into poller.job as j
       (name, function, schedule, tz, overlap, misfire, grace, jitter, starts_at, ends_at, after, keep, declared,
        anchor, planned_to)
select g.name, g.name, g.schedule, g.tz, g.overlap, g.misfire, g.grace, g.jitter, g.starts_at, g.ends_at,
       g.after, g.keep, true, g.anchor, g.anchor - interval '1 microsecond'
  from given as g
 where not exists (
       select from poller.job as j
        where (j.name, j.function, j.tz, j.overlap, j.misfire, j.grace, j.jitter, j.after, j.keep, j.declared)
            = (g.name, g.name, g.tz, g.overlap, g.misfire, g.grace, g.jitter, g.after, g.keep, true)
          and (j.schedule, j.starts_at, j.ends_at) is not distinct from (g.schedule, g.starts_at, g.ends_at))
    on conflict (name) do update
   set function = excluded.function, schedule = excluded.schedule, tz = excluded.tz,
       overlap = excluded.overlap, misfire = excluded.misfire, grace = excluded.grace, jitter = excluded.jitter,
       starts_at = excluded.starts_at, ends_at = excluded.ends_at, after = excluded.after, keep = excluded.keep,
       anchor = case when j.schedule is distinct from excluded.schedule then excluded.anchor else j.anchor end,
       planned_to = case when j.name in (select name from edited) then excluded.anchor else j.planned_to end,
       next_at = case when j.name not in (select name from edited) then j.next_at
                      when excluded.kind = 'fixed_delay'
                           and not exists (select from poller.run as r
                                            where r.job = j.name and r.status in ('pending', 'running'))
                      then (select max(r.finished_at) from poller.run as r where r.job = j.name)
                           + excluded.every
                 end,
       exhausted = j.exhausted and j.name not in (select name from edited),
       changed_at = excluded.anchor
 where j.declared
