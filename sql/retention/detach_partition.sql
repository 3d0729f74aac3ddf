-- Purpose  Detach a partition from its table, or finish a detach that an earlier purge began.
-- Locks    the table, SHARE UPDATE EXCLUSIVE; the partition, ACCESS EXCLUSIVE at the end. Waits, up to lock_timeout,
--          for current users of the table; no session waits for it meanwhile. Not within a transaction.
-- Fence    none.
-- Index    none.
alter table {table} detach partition {partition} {how}
