-- Purpose  Keep workers from being entered while others are told to drain: one that was entered at that moment would neither be
--          seen by the drain, nor see that the process it comes after drains.
-- Locks    poller.worker, SHARE ROW EXCLUSIVE, against the ROW EXCLUSIVE that register_worker.sql takes before its snapshot;
--          heartbeats wait, too, until the drain is committed, up to lock_timeout. Rows are locked after it.
-- Fence    none: drain_workers.sql comes in a statement of its own, so that it sees what this has waited for.
-- Index    none.
lock table poller.worker in share row exclusive mode
