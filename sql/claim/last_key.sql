-- Purpose  Find the last row, in the order of the key, that has a handler's status: where looks for what was
--          added since may begin, when many rows in trouble make looks from the top dear.
-- Locks    none.  Fence  none: a starting point only.
-- Index    on the user's table: (key columns) where status = …, read backwards.
select {key}
  from {table} as t
 where {users}
   and {shows_status}
 order by {order}
 limit 1
