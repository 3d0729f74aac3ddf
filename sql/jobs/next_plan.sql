-- Purpose  Read the seconds until there is something to plan or a pause ends, null if neither is known; whether one has ended;
--          the leader; the time.
-- Locks    none.
-- Fence    none: a hint; jobs_due.sql and end_pauses.sql decide.
-- Index    job_next, one row a known function; job_paused; run_unfinished for fixed delays that wait for a finish.
-- A job without a next slot has been due since its last change.
with clock as materialized (
    select poller.now() as now
), pause as materialized (
    select min(j.paused_until) as ends_at
      from poller.job as j
     where j.paused_until is not null and j.paused_at is not null and j.function = any (%(known)s::text[])
)
select extract(epoch from least(
           (select pause.ends_at from pause),
           (select min(n.due_at)
             from unnest(%(known)s::text[]) as k (function)
            cross join lateral (
                  select coalesce(j.next_at, least(greatest(j.planned_to, j.changed_at), (select now from clock))) as due_at
                    from poller.job as j
                   where j.function = k.function
                     and j.schedule is not null and j.paused_at is null and not j.exhausted
                     and (j.next_at is not null
                          or j.kind <> 'fixed_delay'
                          or not exists (select from poller.run as r
                                          where r.job = j.name and r.status in ('pending', 'running')))
                     and (j.name || ' ' || j.xmin::text) <> all (%(aside)s::text[])
                   order by coalesce(j.next_at, timestamptz '-infinity')
                   limit 1) as n)) - clock.now)::float8 as wait,
       coalesce((select pause.ends_at from pause) <= clock.now, false) as pause_is_over,
       (select p.supervisor from poller.planner as p where p.functions = %(digest)s) as leader,
       extract(epoch from clock.now)::float8 as now
  from clock
