-- Purpose  Count the rows of one status, and tell the age of the first: a part of count_statuses.sql.
-- Locks    none.
-- Fence    none: read-only.
-- Index    as for its parts (count_status.sql, head.sql).
select {status}::text, ({counted}), ({oldest})::timestamptz
