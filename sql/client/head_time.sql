-- Purpose  Read a time column of the first row of a status, in some order: the age of a queue's head.
-- Locks    none.
-- Fence    none: read-only; executed only if its plan uses an index (along_indexes.sql).
-- Index    on the user's table: the claim's, or one that has the status and the time.
select case when isfinite(h.at) then h.at end
  from (select (t.{age})::timestamptz as at from {table} as t where {users} and {shows} order by {order} limit 1) as h
