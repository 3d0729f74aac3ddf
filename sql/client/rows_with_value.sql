-- Purpose  Select some columns of the rows that have a value in one: the inner part of filter_rows.sql.
-- Locks    none.
-- Fence    none: read-only.
-- Index    on the user's table: one that begins with the column.
select {columns} from {table} as t
 where {users} and {has_value}
 limit {look}
