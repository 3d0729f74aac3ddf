-- Purpose  Ask whether a worker may claim: it has not been declared dead, and has not left.
-- Locks    none.
-- Fence    a hint: poller.take and retake.sql ask within the claim.
-- Index    worker's primary key.
select from poller.worker as w where w.id = %(worker)s and w.died_at is null
