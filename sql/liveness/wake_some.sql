-- Purpose  Have two workers look for rows of a handler for which this worker has no room: those with the most free slots. If they
--          have no room for all, each does the same, so that a long queue soon has every worker.
-- Locks    commits that notify are serialised by Postgres: once a claim at most, never once a row.
-- Fence    a hint: a worker that misses it polls.
-- Index    claim_worker; one row a worker.
select pg_notify('poller', concat_ws(' ', 'worker', other.id::text, %(handler)s::text))
  from (select w.id,
               w.slots - coalesce((select sum(cardinality(c.keys)) from poller.claim as c where c.worker_id = w.id), 0) as room
          from poller.worker as w
         where w.id <> %(worker)s and w.died_at is null and w.stopping_at is null and w.drain_at is null
           and w.handlers @> array[%(handler)s::integer]
         order by room desc, random()
         limit 2) as other
 where other.room > 0
