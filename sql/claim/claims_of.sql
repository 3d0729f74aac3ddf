-- Purpose  Find what a worker holds, row by row: after a fault it compares that with what it knows of.
-- Locks    none: giving back fences itself.
-- Fence    none.
-- Index    claim_worker.
select c.lease::text, c.handler_id, k.key
  from poller.claim as c
 cross join unnest(c.keys) as k (key)
 where c.worker_id = %(worker)s
