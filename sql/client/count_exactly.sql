-- Purpose  Count all rows of a user's table that have a status, for somebody who asks for just that.
-- Locks    none.
-- Fence    none: read-only; under a timeout of its own (counting.py).
-- Index    on the user's table, if one finds the status; else the whole table is read.
select count(*) from {table} as t where {users} and {shows}
