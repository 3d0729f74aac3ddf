-- Purpose  Write the index that saves a purge from reading the whole table, for the user to create. Never executed
--          by poller.
-- Locks    the table, SHARE UPDATE EXCLUSIVE (SHARE without `concurrently`, which partitioned tables refuse).
-- Fence    none.
-- Index    this is it.
CREATE INDEX {concurrently}ON {table} ({columns})
