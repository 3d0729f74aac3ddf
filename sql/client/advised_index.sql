-- Purpose  Write the index that serves a handler's claims, for the user to create. Never executed by poller.
-- Locks    the table, SHARE UPDATE EXCLUSIVE (SHARE without `concurrently`, which partitioned tables refuse).
-- Fence    none.
-- Index    this is it.
CREATE INDEX {concurrently}ON {table} ({order}) WHERE {shows_status}
