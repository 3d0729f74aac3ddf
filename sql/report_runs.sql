-- Purpose  Write what running runs have printed and how far they have come; learn which are to stop.
-- Locks    poller.run: those rows, in the order of their ids.
-- Fence    the attempt's number and the status: a worker that lost its run writes nothing.
-- Index    run's primary key.
update poller.run as r
   set output = s.output, done = s.done, total = s.total
  from unnest(%(ids)s::bigint[], %(attempts)s::integer[], %(outputs)s::text[], %(dones)s::float8[],
              %(totals)s::float8[]) as s (id, attempt, output, done, total)
 where r.id = s.id and r.attempt = s.attempt and r.status = 'running'
returning r.id, r.cancel_at is not null
