-- Purpose  Name the jobs that run next, the soonest of all, however many there are; and some of those whose next slot no planner
--          has worked out yet.
-- Locks    none.
-- Fence    none: read-only.
-- Index    job_next: the first job of each function; then so many of each of the functions that are soonest, since no other
--          function can have one of them.
with recursive every (function) as (
    (select j.function from poller.job as j
      where j.schedule is not null and j.paused_at is null and not j.exhausted
      order by j.function limit 1)
     union all
    select (select j.function from poller.job as j
             where j.schedule is not null and j.paused_at is null and not j.exhausted and j.function > every.function
             order by j.function limit 1)
      from every
     where every.function is not null
), known as materialized (
    select every.function from every where every.function is not null limit %(functions)s
), soonest as materialized (
    select known.function
      from known
     cross join lateral (
           select coalesce(j.next_at, timestamptz '-infinity') as at
             from poller.job as j
            where j.function = known.function and j.schedule is not null and j.paused_at is null and not j.exhausted
              and coalesce(j.next_at, timestamptz '-infinity') > '-infinity'
            order by j.function, coalesce(j.next_at, timestamptz '-infinity')
            limit 1) as first
     order by first.at
     limit %(most)s
)
(select next.name
   from soonest
  cross join lateral (
        select j.name, coalesce(j.next_at, timestamptz '-infinity') as at
          from poller.job as j
         where j.function = soonest.function and j.schedule is not null and j.paused_at is null and not j.exhausted
           and coalesce(j.next_at, timestamptz '-infinity') > '-infinity'
         order by j.function, coalesce(j.next_at, timestamptz '-infinity')
         limit %(most)s) as next
  order by next.at
  limit %(most)s)
 union all
(select unplanned.name
   from known
  cross join lateral (
        select j.name
          from poller.job as j
         where j.function = known.function and j.schedule is not null and j.paused_at is null and not j.exhausted
           and coalesce(j.next_at, timestamptz '-infinity') = '-infinity'
         order by j.function
         limit %(unplanned)s) as unplanned
  limit %(unplanned)s)
