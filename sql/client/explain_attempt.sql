-- Purpose  Read the stored attempt of a handler at a row: why and until when the row is left alone.
-- Locks    none.  Fence  none: read-only.
-- Index    attempt_key.
select a.state, a.attempt, a.error, a.next_at, a.next_at > poller.now() as is_later, a.changed_at as since
  from poller.attempt as a
 where a.handler_id = %(handler)s
   and poller.digest(a.key) = any (array(select poller.digest(k.key) from unnest(%(keys)s::text[]) as k (key)))
 limit 1
