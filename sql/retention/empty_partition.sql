-- Purpose  Empty a partition that lies wholly before the cut-off, and mark it as one to drop. Wherever the
--          purge ends after this, no row is left in an unknown table.
-- Locks    the partition, ACCESS EXCLUSIVE, for a moment. Not the partitioned table.
-- Fence    the partition's bound.
-- Index    none.
truncate table {partition}
