-- Purpose  Find out whether a claim could lock a row now. No row: another transaction has it.
-- Locks    the user's row, FOR NO KEY UPDATE SKIP LOCKED, until the caller rolls back, at once. A claim that comes by in that moment
--          leaves the row to the next.
-- Fence    none: to be told only.
-- Index    the primary key of the user's table.
select true from {table} as t
 where {users}
   and {is_own}
   for no key update of t skip locked
