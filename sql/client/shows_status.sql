-- Purpose  Tell whether a row shows a status that no handler names, or has a key.
-- Locks    none.  Fence  none: an order checks for itself.
-- Index    the primary key for a key; for a status one on it, if there is one; else it reads the table up to the first such row.
select from {table} as t where {users} and {is_shown} limit 1
