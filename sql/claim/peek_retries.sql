-- Purpose  Ask which handlers have a row whose next attempt is due. Joined to the branches of peek.sql.
-- Locks    none.  Fence  none: a hint.
-- Index    attempt_next: one probe a handler.
select h.id, true
  from unnest({handlers}::integer[]) as h (id)
 where exists (
    select from poller.attempt as a
     where a.handler_id = h.id and a.state <> 'parked' and a.next_at <= poller.now()
       and a.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = h.id))
