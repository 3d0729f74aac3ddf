-- Purpose  Insert a schedule made at run time, or update the one of its name. Planned slots stay; an edited
--          schedule begins anew from now. A one-off whose time has passed is due. No row: the name is a
--          declared job's.
-- Locks    poller.job: the schedule's own row, as long as the user's transaction lasts.
-- Fence    declared: a declared job is left as it is. Checked twice: a policy that hides declared jobs from an
--          UPDATE would turn the conflict into an error.
-- Index    job's primary key; run_unfinished, and run's unique key, for a fixed delay that was edited.
with clock as materialized (select poller.now() as now)
insert into poller.job as j
       (name, function, schedule, tz, overlap, misfire, grace, jitter, starts_at, ends_at, args, keep, declared,
        anchor, planned_to)
select %(name)s::text, %(function)s::text, %(schedule)s::text, %(tz)s::text, %(overlap)s::text, %(misfire)s::text,
       make_interval(secs => %(grace)s), make_interval(secs => %(jitter)s), %(starts_at)s::timestamptz,
       %(ends_at)s::timestamptz, %(args)s::jsonb, make_interval(secs => %(keep)s), false,
       clock.now, least(%(at)s::timestamptz, clock.now) - interval '1 microsecond'
  from clock
 where not exists (select from poller.job as d where d.name = %(name)s::text and d.declared)
    on conflict (name) do update
   set function = excluded.function, schedule = excluded.schedule, tz = excluded.tz,
       overlap = excluded.overlap, misfire = excluded.misfire, grace = excluded.grace, jitter = excluded.jitter,
       starts_at = excluded.starts_at, ends_at = excluded.ends_at, args = excluded.args, keep = excluded.keep,
       anchor = case when j.schedule is distinct from excluded.schedule then excluded.anchor else j.anchor end,
       planned_to = case when (j.schedule, j.tz, j.starts_at, j.ends_at)
                              is not distinct from
                              (excluded.schedule, excluded.tz, excluded.starts_at, excluded.ends_at)
                         then j.planned_to
                         when excluded.kind = 'at' then excluded.planned_to
                         else excluded.anchor end,
       next_at = case when (j.schedule, j.tz, j.starts_at, j.ends_at)
                           is not distinct from
                           (excluded.schedule, excluded.tz, excluded.starts_at, excluded.ends_at)
                      then j.next_at
                      when excluded.kind = 'fixed_delay'
                           and not exists (select from poller.run as r
                                            where r.job = j.name and r.status in ('pending', 'running'))
                      then (select max(r.finished_at) from poller.run as r where r.job = j.name)
                           + excluded.every
                 end,
       exhausted = j.exhausted
                   and (j.schedule, j.tz, j.starts_at, j.ends_at)
                       is not distinct from
                       (excluded.schedule, excluded.tz, excluded.starts_at, excluded.ends_at),
       changed_at = poller.now()
 where not j.declared
returning name
