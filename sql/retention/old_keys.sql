-- Purpose  List the keys of the old rows in a stretch of a table: a range of the column's values, or of blocks.
-- Locks    none: purge_batch.sql and age_out_batch.sql check again.
-- Fence    none: a hint.
-- Index    on the user's table: one that begins with the column, if there is one; a range of blocks needs none
--          (TID Range Scan, Postgres 14).
-- The inner query is fenced by its OFFSET, so that no other condition makes the planner leave the stretch.
select {key} as "~key"
  from (select * from {table} as t where {users} and {stretch} offset 0) as t
 where {due}
