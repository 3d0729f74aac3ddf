-- Purpose  Read the fleet's gauges, as one process has measured them for all.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none: all of them.
-- A time that is ahead is of a clock that was set back, or of another server's: the numbers are as old as any.
select g.name, g.labels, g.value, extract(epoch from poller.now() - g.at)::float8 as age
  from poller.gauge as g
 where g.at between poller.now() - %(kept)s::interval and poller.now() + interval '5 seconds'
 order by g.name, g.labels
