-- Purpose  Drop a partition that is detached and empty; or, beside a default partition, one that is still attached.
-- Locks    the partition, ACCESS EXCLUSIVE; and its table, if it is attached, up to lock_timeout.
-- Fence    none.
-- Index    none.
drop table {partition}
