-- Purpose  Tell what happened to one row, the last so many events, in the order in which they were recorded.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    event's primary key; of move, the primary key for the handlers: it is looked through for the key.
select *
  from (select e.at, e.from_status as status, e.verdict, e.to_status as "to", e.attempt,
               round(e.seconds::numeric, 6)::float8 as seconds, e.error, e.worker_id as worker, e.traceback
          from (select at, from_status, verdict, to_status, attempt, seconds, error, worker_id, traceback
                  from poller.event
                 where handler_id = any(%(handlers)s::integer[]) and key = any(%(keys)s::text[])
                   and digest = any (array(select hashtextextended(k.key, 0) from unnest(%(keys)s::text[]) as k (key)))
                 union all
                select m.at, m.from_status, 'moved', m.to_status, 1, m.seconds[array_position(m.keys, k.key)], null,
                       m.worker_id, null
                  from poller.move as m, unnest(%(keys)s::text[]) as k (key)
                 where m.handler_id = any(%(handlers)s::integer[]) and k.key = any(m.keys)) as e
         where %(at)s::timestamptz is null or e.at <= %(at)s
         order by e.at desc, e.attempt desc, e.verdict desc
         limit %(limit)s offset %(left_out)s::bigint) as latest
 order by at, attempt, verdict
