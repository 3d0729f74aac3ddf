-- Purpose  Mark a partition as emptied by a purge, in the transaction that empties it.
-- Locks    as empty_partition.sql, before it.
-- Fence    as there.
-- Index    none.
comment on table {partition} is {mark}
