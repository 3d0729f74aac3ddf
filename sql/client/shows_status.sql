-- Purpose  Tell whether a row has a key, or has it and shows a status.
-- Locks    none.  Fence  none: an order checks for itself.
-- Index    the primary key of the user's table.
select from {table} as t where {users} and {is_shown} limit 1
