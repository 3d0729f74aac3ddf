-- Purpose  Take a partition off its table, or finish that where an earlier purge began it.
-- Locks    the table, SHARE UPDATE EXCLUSIVE; the partition, ACCESS EXCLUSIVE at the end. Waits, up to lock_timeout,
--          for those who use the table now; nobody waits for it meanwhile. Not within a transaction.
-- Fence    none.
-- Index    none.
alter table {table} detach partition {partition} {how}
