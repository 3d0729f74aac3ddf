-- Purpose  Count what the fleet has done and holds, for the progress bar and the line that `run` prints. What waits of a handler
--          that is paused does not wait for the fleet.
-- Locks    none.  Fence  none.
-- Index    claim_handler, attempt_next, tally's primary key.
select (select coalesce(sum(cardinality(c.keys)), 0)::bigint from poller.claim as c
         where c.handler_id = any(%(handlers)s::integer[])) as in_flight,
       (select count(*) from poller.attempt as a
         where a.handler_id = any(%(handlers)s::integer[]) and a.state = 'waiting'
           and a.handler_id <> all (array(
                 select h.id from poller.handler as h
                  where h.paused_at is not null and coalesce(h.paused_until > poller.now(), true)))) as waiting,
       coalesce(sum(y.moved), 0)::bigint as moved,
       coalesce(sum(y.failed), 0)::bigint as failed,
       coalesce(sum(y.parked), 0)::bigint as parked
  from poller.tally as y
 where y.handler_id = any(%(handlers)s::integer[])
   and y.minute >= %(since)s
