-- Purpose  Count what the fleet has done and holds, for the progress bar and the line that `run` prints.
-- Locks    none.  Fence  none.
-- Index    claim_handler, attempt_next, tally's primary key.
select (select coalesce(sum(cardinality(c.keys)), 0)::bigint from poller.claim as c
         where c.handler_id = any(%(handlers)s::integer[])) as in_flight,
       (select count(*) from poller.attempt as a
         where a.handler_id = any(%(handlers)s::integer[]) and a.state = 'waiting') as waiting,
       coalesce(sum(y.moved), 0)::bigint as moved,
       coalesce(sum(y.failed), 0)::bigint as failed,
       coalesce(sum(y.parked), 0)::bigint as parked
  from poller.tally as y
 where y.handler_id = any(%(handlers)s::integer[])
   and y.minute >= %(since)s
