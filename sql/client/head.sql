-- Purpose  Find the time that the first row of a status, in some order, has in a column: the age of the head of a queue.
-- Locks    none.
-- Fence    none: to be looked at only; asked only if it goes along an index (along_indexes.sql).
-- Index    on the user's table: the claim's, or one that has the status and the time.
select case when isfinite(h.at) then h.at end
  from (select (t.{age})::timestamptz as at from {table} as t where {users} and {shows} order by {order} limit 1) as h
