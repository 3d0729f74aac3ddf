-- Purpose  List the rows in trouble: parked, or waiting for another attempt after one that failed. Without an error, a
--          row was given back after its handler ran, and only its visit is remembered. `place` is what the order is made of.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    attempt_key: rows in trouble only.
select h.table_name as "table", h.status, a.key, a.attempt, a.error,
       a.state = 'parked' as parked,
       case when a.state <> 'parked' then a.next_at end as next_at,
       jsonb_build_array(h.table_name, h.status, a.state <> 'parked', a.next_at, a.key) as place
  from poller.attempt as a
  join poller.handler as h on h.id = a.handler_id
 where a.handler_id = any(%(handlers)s::integer[])
   and a.state <> 'snoozed'
   and a.error is not null
   and (%(keys)s::text[] is null or poller.digest(a.key) = any (array(select poller.digest(k.key) from unnest(%(keys)s::text[]) as k (key))))
   and (%(table)s::text is null
        or (h.table_name, h.status, a.state <> 'parked', a.next_at, a.key)
           > (%(table)s, %(status)s::text, %(waits)s::boolean, %(next_at)s::timestamptz, %(key)s::text))
 order by h.table_name, h.status, a.state <> 'parked', a.next_at, a.key
 limit %(limit)s
