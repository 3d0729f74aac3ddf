-- Purpose  Read one row: its statuses, and some columns as text.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the primary key of the user's table.
select {key} as key, array[{statuses}]::text[] as statuses, {values} from {table} as t
 where {users} and {is_own}
