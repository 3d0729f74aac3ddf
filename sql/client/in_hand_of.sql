-- Purpose  Count the rows of handlers that are in flight.
-- Locks    none.  Fence  none: read-only.
-- Index    claim_handler.
select coalesce(sum(cardinality(c.keys)), 0)::bigint
  from poller.claim as c
 where c.handler_id = any (%(handlers)s::integer[])
