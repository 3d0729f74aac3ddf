-- Purpose  Say which workers have how many rows of a handler in their hands.
-- Locks    none.  Fence  none: to be looked at only.
-- Index    claim_handler.
select c.worker_id as worker, sum(cardinality(c.keys))::integer as rows
  from poller.claim as c
 where c.handler_id = %(handler)s
 group by c.worker_id
 order by 2 desc, 1
 limit 20
