-- Purpose  Select the newest runs by job or by function: a part of runs.sql, joined by UNION, since a run of a schedule
--          may be found by either name.
-- Locks    none.  Fence  none.
-- Index    as runs.sql. A job's runs have one planned time each, so that they need no other order. The name is asked for
--          as one of an array, and ordered by, though all have the same: else an index of all runs has the order, too, and
--          is gone through for as long as it takes to find enough of this job.
(select r.id, r.job, r.planned_at, r.started_at, r.finished_at, r.status, r.attempt, r.error, r.done, r.total
   from poller.run as r
  where {condition}
    and (r.planned_at, r.id) < (%(planned_at)s::timestamptz, %(id)s::bigint)
  order by {order}
  limit %(limit)s)
