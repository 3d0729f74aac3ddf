-- Purpose  Say why a claim has brought nothing: no row if the worker has been declared dead or has left; whether it is to drain;
--          whether the handler is paused.
-- Locks    none.
-- Fence    a hint: poller.take and retake.sql ask within the claim.
-- Index    the primary keys of worker and handler.
select w.drain_at is not null as drains,
       exists (select from poller.handler as h
                where h.id = %(handler)s and h.paused_at is not null and coalesce(h.paused_until > poller.now(), true)) as is_paused
  from poller.worker as w
 where w.id = %(worker)s and w.died_at is null
