-- Purpose  Take a worker's liveness lock, if no session holds it.
-- Locks    the worker's session advisory lock, kept until the session ends. Taken once a session: it counts.
-- Fence    none: the lock only makes things quicker; the heartbeat and the lease decide.
-- Index    none.
select pg_try_advisory_lock(hashtextextended('poller worker ' || %(worker)s, 0))
