-- Purpose  Keep others from adding to the totals of rows until the transaction ends. Apart, so that the statement that adds
--          has a snapshot that is newer than the lock.
-- Locks    poller.row_total: the table; it waits for a purge of minutes that is under way.
-- Fence    none.
-- Index    none.
lock table poller.row_total in share row exclusive mode
