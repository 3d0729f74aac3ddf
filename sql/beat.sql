-- Purpose  Say that a worker is alive.
-- Locks    poller.worker: its own row.
-- Fence    a worker that was declared dead stays so: no row comes back, and it must register anew.
-- Index    worker's primary key.
update poller.worker
   set heartbeat_at = poller.now(), stopping_at = case when %(stopping)s then coalesce(stopping_at, poller.now()) end
 where id = %(worker)s and died_at is null
returning id
