-- Purpose  Say that a worker is alive, and learn when it is its turn to look for work (see `turn`), and whether it is to drain.
-- Locks    poller.worker: its own row.
-- Fence    a worker that was declared dead stays so: no row comes back, and it must register anew.
-- Index    worker's primary key; one row a worker for the turn.
-- Returns  how many workers know all of its handlers, how many of these came before it, the time, and whether it is to drain.
with alive as (
    update poller.worker
       set heartbeat_at = poller.now(),
           stopping_at = case when %(stopping)s then coalesce(stopping_at, poller.now()) end
     where id = %(worker)s and died_at is null
    returning id, handlers, drain_at
)
select count(w.id), count(w.id) filter (where w.id < alive.id), extract(epoch from poller.now())::float8,
       alive.drain_at is not null
  from alive
  left join poller.worker as w
    on w.died_at is null and w.stopping_at is null and w.drain_at is null and w.handlers @> alive.handlers
 group by alive.id, alive.drain_at
