-- Purpose  Give up leases without an outcome, since their table is gone and with it what could be settled.
-- Locks    poller.claim: those rows.
-- Fence    the lease ids.
-- Index    claim's primary key.
delete from poller.claim where lease = any(%(leases)s::uuid[])
