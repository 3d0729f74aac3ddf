-- Purpose  Say which handlers are paused, since when, by whom and until when.
-- Locks    none.  Fence  none: to be told, and to be looked at.
-- Index    none: one row a handler.
select h.id as handler_id, h.paused_at as since, h.paused_by as by, h.paused_until as until
  from poller.handler as h
 where h.id = any (%(handlers)s::integer[]) and h.paused_at is not null and coalesce(h.paused_until > poller.now(), true)
