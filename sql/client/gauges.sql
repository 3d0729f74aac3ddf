-- Purpose  Read the fleet's gauges, as one process has measured them for all.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none: all of them.
select g.name, g.labels, g.value, extract(epoch from poller.now() - g.at)::float8 as age
  from poller.gauge as g
 where g.at > poller.now() - %(kept)s::interval
 order by g.name, g.labels
