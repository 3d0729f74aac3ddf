-- Purpose  Be the one that plans, for the length of this transaction.
-- Locks    a transaction advisory lock, if it is free.
-- Fence    none: that a slot fires once is the unique key of poller.run. The lock saves work; and what is read after
--          it, by a statement of its own, sees the runs that the planner before has entered (for overlap).
-- Index    none.
select pg_try_advisory_xact_lock(hashtextextended('poller planner', 0))
