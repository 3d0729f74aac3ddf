-- Purpose  Enter a job that a program declares, or bring its row up to date. What was planned stays; a schedule
--          that was edited begins anew from now.
-- Locks    poller.job: the job's own row.
-- Fence    none: the last program to start has its say.
-- Index    job's primary key.
insert into poller.job as j
       (name, function, schedule, tz, overlap, misfire, grace, jitter, starts_at, ends_at, after, keep, declared)
values (%(name)s, %(name)s, %(schedule)s, %(tz)s, %(overlap)s, %(misfire)s, make_interval(secs => %(grace)s),
        make_interval(secs => %(jitter)s), %(starts_at)s, %(ends_at)s, %(after)s::text[],
        make_interval(secs => %(keep)s), true)
    on conflict (name) do update
   set schedule = excluded.schedule, tz = excluded.tz, overlap = excluded.overlap, misfire = excluded.misfire,
       grace = excluded.grace, jitter = excluded.jitter, starts_at = excluded.starts_at,
       ends_at = excluded.ends_at, after = excluded.after, keep = excluded.keep, declared = true,
       anchor = case when j.schedule is distinct from excluded.schedule then excluded.anchor else j.anchor end,
       planned_to = case when (j.schedule, j.tz) is distinct from (excluded.schedule, excluded.tz)
                         then excluded.planned_to else j.planned_to end,
       next_at = case when (j.schedule, j.tz) is distinct from (excluded.schedule, excluded.tz)
                      then null else j.next_at end,
       changed_at = poller.now()
 where (j.schedule, j.tz, j.overlap, j.misfire, j.grace, j.jitter, j.starts_at, j.ends_at, j.after, j.keep,
        j.declared)
    is distinct from
       (excluded.schedule, excluded.tz, excluded.overlap, excluded.misfire, excluded.grace, excluded.jitter,
        excluded.starts_at, excluded.ends_at, excluded.after, excluded.keep, true)
