-- Purpose  Fetch one run, with what it has printed.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    run's primary key.
select r.job, r.status, r.output
  from poller.run as r
 where r.id = %(id)s
