-- Purpose  List the rows in trouble: parked, or waiting for another attempt after one that failed.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    attempt's primary key: rows in trouble only.
select h.table_name, h.status, a.key, a.attempt, a.error,
       a.state = 'parked' as parked,
       case when a.state <> 'parked' then a.next_at end as next_at
  from poller.attempt as a
  join poller.handler as h on h.id = a.handler_id
 where a.handler_id = any(%(handlers)s::integer[])
   and a.state <> 'snoozed'
   and a.error is not null  -- else it was given back after its handler ran, and only its visit is remembered
   and (%(keys)s::text[] is null or a.key = any(%(keys)s::text[]))
 order by h.table_name, h.status, parked desc, a.next_at, a.key
 limit %(limit)s
