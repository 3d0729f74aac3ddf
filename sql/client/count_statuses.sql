-- Purpose  Count the rows of several statuses of a user's table, each up to so many, with the age of the first of each.
-- Locks    none.
-- Fence    none: read-only; of those statuses only whose own questions go along an index (count_status.sql, head.sql).
-- Index    on the user's table: as for those.
select b.status, b.rows, b.oldest from ({branches}) as b (status, rows, oldest)
