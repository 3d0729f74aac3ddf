-- Purpose  Write a status as it is, for no row: it is only planned (EXPLAIN). Before Postgres 16 that prepares the generated
--          columns that follow from the status, and so finds those whose functions look for names by the search path.
-- Locks    the table, as any UPDATE; no row.
-- Fence    none: nothing is written.
-- Index    none.
update {table} as t set {status} = {status} where false
