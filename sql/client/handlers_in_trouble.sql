-- Purpose  Find which handlers have rows in trouble, and in which states: one probe each, so that the others are not
--          queried.
-- Locks    none.
-- Fence    none: read-only.
-- Index    attempt_latest, whose order is asked for, so that no other index of the handler serves; event_failed.
select h.id, s.state
  from unnest(%(handlers)s::integer[]) as h (id)
 cross join (values ('waiting'), ('parked')) as s (state)
 where (select true from poller.attempt as a where a.handler_id = h.id and a.state = s.state
         order by a.changed_at desc limit 1)
 union all
select h.id, 'failed'
  from unnest(%(handlers)s::integer[]) as h (id)
 where (select true from poller.event as e where e.handler_id = h.id and e.verdict = 'failed' limit 1)
