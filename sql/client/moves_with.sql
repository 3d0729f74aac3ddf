-- Purpose  Search one row among the next so many moves of a handler, from the latest on. Moves have no index on their
--          keys; those of moves before `since` are not read.
-- Locks    none.
-- Fence    none: read-only.
-- Index    move's primary key, backwards.
-- Returns  how many moves were looked at, the last of them and its time, and those with the row.
with looked as materialized (
    select m.id, m.at, case when m.at >= %(since)s then m.keys && %(keys)s::text[] end as has_row
      from poller.move as m
     where m.handler_id = %(handler)s and m.id < %(before)s
     order by m.id desc
     limit %(most)s
)
select count(*) as looked, min(l.id) as last, min(l.at) as at, coalesce(array_agg(l.id) filter (where l.has_row), '{{}}') as found
  from looked as l
