-- Purpose  Count the living workers, those of them that know a handler, and those of these that are about to end and
--          claim nothing.
-- Locks    none.  Fence  none: read-only.
-- Index    none: one row a worker.
select count(*) as living,
       count(*) filter (where w.handlers @> array[%(handler)s::integer]) as knowing,
       count(*) filter (where w.handlers @> array[%(handler)s::integer]
                          and (w.stopping_at is not null or w.drain_at is not null)) as ending
  from poller.worker as w
 where w.died_at is null and w.heartbeat_at + w.lease >= poller.now()
