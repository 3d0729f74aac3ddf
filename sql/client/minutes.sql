-- Purpose  Count what the fleet has done in each of the last sixty minutes, the current one included; and tell the time.
-- Locks    none.
-- Fence    none: read-only.
-- Index    tally's primary key.
select m.minute, coalesce(d.moved, 0) as moved, coalesce(d.failed, 0) as failed, (select poller.now()) as now
  from generate_series(date_trunc('minute', poller.now()) - interval '59 minutes', date_trunc('minute', poller.now()),
                       interval '1 minute') as m (minute)
  left join (select y.minute, sum(y.moved)::bigint as moved, sum(y.failed + y.parked + y.retried)::bigint as failed
               from poller.tally as y
              where y.minute >= date_trunc('minute', poller.now()) - interval '59 minutes'
              group by y.minute) as d on d.minute = m.minute
 order by m.minute
