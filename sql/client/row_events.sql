-- Purpose  List the last so many events of one row alone since some time, the latest first.
-- Locks    none.
-- Fence    none: read-only.
-- Index    event's primary key: the events of that row alone.
select e.at, e.from_status as status, e.verdict, e.to_status as "to", e.attempt,
       round(e.seconds::numeric, 6)::float8 as seconds, e.error, e.worker_id as worker, e.traceback
  from poller.event as e
 where e.handler_id = any(%(handlers)s::integer[])
   and e.digest = any (array(select hashtextextended(k.key, 0) from unnest(%(keys)s::text[]) as k (key)))
   and e.key = any(%(keys)s::text[])
   and e.at >= %(since)s
   and (%(at)s::timestamptz is null or e.at <= %(at)s)
 order by e.at desc, e.attempt desc, e.verdict desc
 limit %(limit)s
