-- Purpose  Enter a process that is about to claim. It drains if the one that it comes after was told to: itself, under the number
--          that it had before it was declared dead; or the process that its supervisor starts it in place of.
-- Locks    poller.worker: a new row.
-- Fence    none: what follows names the id returned here.
-- Index    none: one row a worker.
-- Returns  its number, and whether it drains.
insert into poller.worker (supervisor, host, pid, slots, handlers, lease, drain_at)
values (%(supervisor)s, %(host)s, %(pid)s, %(slots)s, %(handlers)s, make_interval(secs => %(lease)s),
        (select w.drain_at from poller.worker as w where w.supervisor = %(supervisor)s and w.pid = %(after)s order by w.id desc limit 1))
returning id, drain_at is not null
