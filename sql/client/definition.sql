-- Purpose  Read what a handler is, as its code said when it was registered last; null if an older version has registered it.
-- Locks    none.  Fence  none: to be looked at only.
-- Index    handler's primary key.
select h.definition from poller.handler as h where h.id = %(handler)s
