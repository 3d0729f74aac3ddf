-- Purpose  Be the one that plans, for the length of this transaction.
-- Locks    a transaction advisory lock, if it is free.
-- Fence    none: it saves work; that a slot fires once is the unique key of poller.run.
-- Index    none.
select pg_try_advisory_xact_lock(hashtextextended('poller planner', 0))
