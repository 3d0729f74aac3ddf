-- Purpose  Read the seconds within which half of the last minutes' attempts ended, and 95 in 100 of them; from a sample.
-- Locks    none.
-- Fence    none: read-only.
-- Index    tally's primary key.
select y.handler_id,
       percentile_disc(0.5) within group (order by s.seconds)::float8 as p50,
       percentile_disc(0.95) within group (order by s.seconds)::float8 as p95
  from poller.tally as y
 cross join unnest(y.seconds) as s (seconds)
 where y.minute >= date_trunc('minute', poller.now()) - make_interval(mins => %(minutes)s)
 group by y.handler_id
