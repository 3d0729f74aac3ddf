-- Purpose  Select the first so many rows that show a handler's status, in the order of its claims: a part of due.sql.
-- Locks    none.
-- Fence    none: read-only; executed only if its plan uses an index (along_indexes.sql).
-- Index    on the user's table: the claim's.
select t.*, t.xmin as "~xmin" from {table} as t where {users} and {shows} {order} limit {most}
