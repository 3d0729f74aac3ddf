-- Purpose  Enter a process that is about to claim.
-- Locks    poller.worker: a new row.
-- Fence    none: what follows names the id returned here.
-- Index    none.
insert into poller.worker (supervisor, host, pid, slots, handlers, lease)
values (%(supervisor)s, %(host)s, %(pid)s, %(slots)s, %(handlers)s, make_interval(secs => %(lease)s))
returning id
