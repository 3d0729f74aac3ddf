-- Purpose  Find the end of a stretch that begins after a value of the column and holds some number of rows, plus
--          all with the last one's value.
-- Locks    none.  Fence  none.
-- Index    one that begins with the column and serves the whole condition; `index_drives.sql` has found that there is one.
select t.{column}::text
  from {table} as t
 where {users} and {driving} and {after}
 order by t.{column}
offset %(rows)s limit 1
