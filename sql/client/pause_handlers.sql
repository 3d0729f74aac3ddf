-- Purpose  Pause handlers: none of their rows is claimed any more. Those paused already get the new end. Returns the
--          number of each that was changed.
-- Locks    poller.handler: those rows, FOR NO KEY UPDATE, in the order of their numbers. It waits for a claim of a
--          handler with limits that is under way.
-- Fence    the claims' own: poller.take and retake.sql see the pause once it is committed.
-- Index    handler's primary key.
with chosen as materialized (
    select h.id, h.paused_at is not null and coalesce(h.paused_until > poller.now(), true) as is_paused
      from poller.handler as h
     where h.id = any (%(handlers)s::integer[])
     order by h.id
       for no key update
)
update poller.handler as h
   set paused_at = case when c.is_paused then h.paused_at else poller.now() end,
       paused_until = poller.now() + make_interval(secs => %(seconds)s::float8),
       paused_by = current_user || coalesce(' (' || %(person)s::text || ')', '')
  from chosen as c
 where h.id = c.id
   and (not c.is_paused or h.paused_until is not null or %(seconds)s::float8 is not null)
returning h.id
