-- Purpose  Resume paused handlers. Returns the number of each that was paused.
-- Locks    poller.handler: those rows, FOR NO KEY UPDATE, in the order of their numbers.
-- Fence    compare and set: it is paused.
-- Index    handler's primary key.
with chosen as materialized (
    select h.id
      from poller.handler as h
     where h.id = any (%(handlers)s::integer[])
       and h.paused_at is not null and coalesce(h.paused_until > poller.now(), true)
     order by h.id
       for no key update
)
update poller.handler as h
   set paused_at = null, paused_until = null, paused_by = null
  from chosen as c
 where h.id = c.id
returning h.id
