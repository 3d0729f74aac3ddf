-- Purpose  Let one process at a time migrate poller's schema; the others wait for it.
-- Locks    a transaction advisory lock.
-- Fence    the version table.
-- Index    none.
select pg_advisory_xact_lock(hashtextextended('poller migrations', 0))
