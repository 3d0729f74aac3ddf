-- Purpose  Empty a partition that lies wholly before the cut-off, and mark it as one that is to be dropped. Whatever
--          ends the purge after this, no row is left in a table that nobody knows.
-- Locks    the partition, ACCESS EXCLUSIVE, for a moment. Not the partitioned table.
-- Fence    the partition's bound.
-- Index    none.
truncate table {partition}
