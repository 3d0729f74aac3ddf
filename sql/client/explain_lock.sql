-- Purpose  Tell whether a claim could lock a row now. No row: another transaction has it locked.
-- Locks    the user's row, FOR NO KEY UPDATE SKIP LOCKED, until the caller rolls back, at once. A claim at that very
--          moment leaves the row to the next.
-- Fence    none: read-only.
-- Index    the primary key of the user's table.
select true from {table} as t
 where {users}
   and {is_own}
   for no key update of t skip locked
