-- Purpose  Let one order with a word of its sender's in at a time, over all who send it.
-- Locks    a transaction advisory lock: the order is committed, with its log entry, before another of that word reads.
-- Fence    none: the log entry decides.
-- Index    none.
select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('poller order ' || %(word)s, 0))
