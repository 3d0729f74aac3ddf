-- Purpose  Select the next rows in trouble of a handler, in the order of their digests: the look of retry.sql over all rows.
-- Locks    none.  Fence  none.
-- Index    attempt_key.
select poller.digest(a.key) as digest
      from poller.attempt as a
     where a.handler_id = %(handler)s and poller.digest(a.key) >= %(after)s::text
     order by poller.digest(a.key)
     limit %(most)s
