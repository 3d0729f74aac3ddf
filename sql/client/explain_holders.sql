-- Purpose  Count the rows of a handler that each worker holds.
-- Locks    none.  Fence  none: read-only.
-- Index    claim_handler.
select c.worker_id as worker, sum(cardinality(c.keys))::integer as rows
  from poller.claim as c
 where c.handler_id = %(handler)s
 group by c.worker_id
 order by 2 desc, 1
 limit 20
