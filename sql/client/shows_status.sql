-- Purpose  Tell whether a row shows a status that no handler names.
-- Locks    none.  Fence  none: an order checks for itself.
-- Index    one on the status, if there is one; else it reads the table up to the first such row.
select from {table} as t where {users} and {is_shown} limit 1
