-- Purpose  Count the living workers, those of them that know a handler, and those of these that are about to end and
--          claim nothing; and the free slots of the others.
-- Locks    none.  Fence  none: read-only.
-- Index    none: one row a worker, one a claim in flight.
select count(*) as living,
       count(*) filter (where w.handlers @> array[%(handler)s::integer]) as knowing,
       count(*) filter (where w.handlers @> array[%(handler)s::integer]
                          and (w.stopping_at is not null or w.drain_at is not null)) as ending,
       coalesce(sum(greatest(w.slots - coalesce(c.held, 0), 0))
                filter (where w.handlers @> array[%(handler)s::integer]
                          and w.stopping_at is null and w.drain_at is null), 0)::integer as free
  from poller.worker as w
  left join (select c.worker_id, sum(cardinality(c.keys)) as held from poller.claim as c group by c.worker_id) as c
    on c.worker_id = w.id
 where w.died_at is null and w.heartbeat_at + w.lease >= poller.now()
