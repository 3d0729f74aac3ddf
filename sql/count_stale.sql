-- Purpose  Count the rows that are old.
-- Locks    none.  Fence  none.
-- Index    on the user's table, one that begins with the column; without it the table is read.
select count(*) from {table} as t where {due}
