-- Purpose  Count those of the first rows of a status that a handler takes: a part of gauge_due.sql, for handlers with a condition.
-- Locks    none.
-- Fence    none: read-only.
-- Index    as first_of_status.sql.
select count(*) from ({first}) as t where {due}
