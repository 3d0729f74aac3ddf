-- Purpose  Say that a worker's liveness lock proves nothing for now.
-- Locks    poller.session: the worker's own row.
-- Fence    none.
-- Index    session's primary key.
delete from poller.session where worker_id = %(worker)s
