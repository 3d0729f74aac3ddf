-- Purpose  Read a handler's definition, as its code was when it was last registered; null if an older version registered
--          it.
-- Locks    none.  Fence  none: read-only.
-- Index    handler's primary key.
select h.definition from poller.handler as h where h.id = %(handler)s
