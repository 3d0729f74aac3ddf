-- Purpose  Tell what happened to one row, the last so many events, in the order in which they were recorded.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    history's primary key.
select *
  from (select e.at, e.from_status, e.verdict, e.to_status, e.attempt, round(e.seconds::numeric, 6)::float8 as seconds,
               e.error, e.worker_id
          from poller.history as e
         where e.handler_id = any(%(handlers)s::integer[]) and e.key = any(%(keys)s::text[])
         order by e.at desc
         limit %(limit)s) as latest
 order by at
