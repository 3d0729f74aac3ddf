-- Purpose  Select all rows of a user's table with a status: never executed, only planned for the planner's estimate.
-- Locks    none.  Fence  none.  Index  none.
select from {table} as t where {users} and {shows}
