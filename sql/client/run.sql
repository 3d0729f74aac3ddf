-- Purpose  Fetch one run, with its output.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run's primary key.
select r.job, r.status, r.output
  from poller.run as r
 where r.id = %(id)s
