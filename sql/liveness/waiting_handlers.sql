-- Purpose  Ask which handlers have rows that have failed and wait for another attempt.
-- Locks    none.  Fence  none.
-- Index    attempt_next: one probe a handler.
select h.id as handler_id
  from unnest(%(handlers)s::integer[]) as h (id)
 where exists (select from poller.attempt as a where a.handler_id = h.id and a.state = 'waiting')
