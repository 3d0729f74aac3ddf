-- Purpose  Tell whether a claim could lock a row now. An error (55P03): another transaction has it locked. No row: this role
--          may see it and not change it, by row security; or it is gone.
-- Locks    the user's row, FOR NO KEY UPDATE NOWAIT, until the caller rolls back, at once. A claim at that very
--          moment leaves the row to the next. SKIP LOCKED would tell the two apart by nothing.
-- Fence    none: read-only.
-- Index    the primary key of the user's table.
select true from {table} as t
 where {users}
   and {is_own}
   for no key update of t nowait
