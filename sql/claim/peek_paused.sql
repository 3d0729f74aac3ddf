-- Purpose  Say which handlers are paused. Joined to the branches of peek.sql: those are left out of the question from then on.
-- Locks    none.  Fence  none: a hint; poller.take and retake.sql ask within the claim.
-- Index    none: one row a handler.
select h.id, null::boolean
  from poller.handler as h
 where h.id = any ({handlers}::integer[]) and h.paused_at is not null and coalesce(h.paused_until > poller.now(), true)
