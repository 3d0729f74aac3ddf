-- Purpose  All rows of a user's table that have a status: only ever planned, for the planner's estimate of them.
-- Locks    none.  Fence  none.  Index  none.
select from {table} as t where {users} and {shows}
