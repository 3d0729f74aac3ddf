-- Purpose  Say that a worker's liveness lock is held by a session of this run of Postgres.
-- Locks    poller.session: the worker's own row.
-- Fence    the advisory lock, taken before.
-- Index    session's primary key.
insert into poller.session (worker_id) values (%(worker)s)
    on conflict (worker_id) do update set postmaster_started_at = excluded.postmaster_started_at
