-- Purpose  Record up to when the slots of some jobs are decided, and when the next one is: none, if exhausted.
-- Locks    poller.job: the jobs' rows, locked before in this transaction.
-- Fence    the lock.
-- Index    job's primary key.
update poller.job as j
   set planned_to = p.planned_to, next_at = p.next_at, exhausted = p.exhausted
  from unnest(%(jobs)s::text[], %(planned_to)s::timestamptz[], %(next_at)s::timestamptz[], %(exhausted)s::boolean[])
    as p (name, planned_to, next_at, exhausted)
 where j.name = p.name
