-- Purpose  List the rows in flight of some handlers, all or those with one of some keys, and how they were claimed.
-- Locks    none.
-- Fence    none: to be asked before release.sql, which looks for itself.
-- Index    claim_handler; attempt_key, a probe for each.
select c.handler_id, k.key, c.during
  from poller.claim as c
 cross join unnest(c.keys) as k (key)
 where c.handler_id = any(%(handlers)s::integer[])
   and (%(keys)s::text[] is null or k.key = any(%(keys)s::text[]))
   and {is_meant}
 order by c.handler_id, c.lease
