-- Purpose  Write the output and progress of running runs where these have changed;
--          return which of all of them must stop.
-- Locks    poller.run: the rows that are written.
-- Fence    the attempt's number and the status: a worker that lost its run writes nothing.
-- Index    run's primary key.
with written as (
    update poller.run as r
       set output = s.output, done = s.done, total = s.total
      from unnest(%(ids)s::bigint[], %(attempts)s::integer[], %(outputs)s::text[], %(dones)s::float8[],
                  %(totals)s::float8[]) as s (id, attempt, output, done, total)
     where r.id = s.id and r.attempt = s.attempt and r.status = 'running'
)
select r.id
  from poller.run as r
 where r.id = any (%(running)s::bigint[]) and r.cancel_at is not null and r.status = 'running'
