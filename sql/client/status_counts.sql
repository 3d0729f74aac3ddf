-- Purpose  Count the rows of a user's table by status, and find the oldest of each.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none needed: a count of all rows reads them all; an index on the status alone makes it quicker.
select t.{status}::text as status, count(*) as rows, array[{oldest}]::timestamptz[] as oldest
  from {table} as t
 where {users}
 group by 1
