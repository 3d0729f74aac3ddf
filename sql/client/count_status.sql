-- Purpose  Count the rows of a user's table that have a status, up to so many.
-- Locks    none.
-- Fence    none: read-only; executed only if its plan uses an index (along_indexes.sql).
-- Index    on the user's table: whichever finds the rows of one status.
select count(*) from (select from {table} as t where {users} and {shows} limit {most}) as s
