-- Purpose  Wait for the claims of a worker that are under way, before it is taken out of the list (leave.sql).
-- Locks    poller.worker: its own row, FOR UPDATE: a claim's foreign key shares it until that claim has committed.
-- Fence    the lock: leave.sql, a statement of its own, sees every claim.
-- Index    worker's primary key.
select from poller.worker where id = %(worker)s for update
