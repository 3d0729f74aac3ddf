-- Purpose  Count what some handlers have done, in spans of equal length up to now; those in which nothing was done, too.
-- Locks    none.
-- Fence    none: read-only.
-- Index    tally's primary key: all handlers' counts since then.
with span as (
    select date_bin(make_interval(secs => %(step)s), poller.now(), timestamptz '2000-01-01 00:00:00+00')
           - make_interval(secs => %(step)s * (%(spans)s - 1)) as first
)
select s.at, coalesce(d.moved, 0)::bigint as moved, coalesce(d.failed, 0)::bigint as failed, coalesce(d.parked, 0)::bigint as parked
  from span
 cross join lateral generate_series(span.first, poller.now(), make_interval(secs => %(step)s)) as s (at)
  left join (select date_bin(make_interval(secs => %(step)s), y.minute, timestamptz '2000-01-01 00:00:00+00') as at,
                    sum(y.moved) as moved, sum(y.failed + y.retried) as failed, sum(y.parked) as parked
               from poller.tally as y
              where y.minute >= (select span.first from span)
                and y.handler_id = any (%(handlers)s::integer[])
              group by 1) as d on d.at = s.at
 order by s.at
