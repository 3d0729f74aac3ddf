-- Purpose  Find the worker that holds a row, and since when.
-- Locks    none.  Fence  none: read-only.
-- Index    claim_handler: what is in flight.
select w.id as worker, w.host, w.pid, c.claimed_at as since,
       w.died_at is not null or w.heartbeat_at + w.lease < poller.now() as is_dead
  from poller.claim as c
  join poller.worker as w on w.id = c.worker_id
 where c.handler_id = %(handler)s and c.keys && %(keys)s::text[]
 limit 1
