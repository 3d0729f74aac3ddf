-- Purpose  Let one process at a time migrate poller's schema; the others try again.
-- Locks    a transaction advisory lock, if it is free: there is no table yet to lock a row of.
-- Fence    the version table.
-- Index    none.
select pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('poller migrations', 0))
