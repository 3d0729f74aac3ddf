-- Purpose  List the moves of one row together with others.
-- Locks    none.
-- Fence    none: read-only.
-- Index    move's primary key.
select m.at, m.from_status as status, 'moved' as verdict, m.to_status as "to", 1 as attempt,
       round(m.seconds[array_position(m.keys, k.key)]::numeric, 6)::float8 as seconds, null as error, m.worker_id as worker,
       null as traceback
  from poller.move as m
 cross join unnest(%(keys)s::text[]) as k (key)
 where m.handler_id = %(handler)s
   and m.id = any(%(moves)s::bigint[])
   and k.key = any(m.keys)
   and m.at >= %(since)s
   and (%(at)s::timestamptz is null or m.at <= %(at)s)
