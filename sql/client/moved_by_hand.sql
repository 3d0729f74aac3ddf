-- Purpose  List the moves by hand of the rows with some keys, from which status to which: of each row some, and none whose
--          status was not set.
-- Locks    none.
-- Fence    none: read-only.
-- Index    event's primary key, a probe for each row: its limit keeps the planner from joining all events.
select k.place, h.status_column as "column", e.from_status, e.to_status
  from unnest(%(tables)s::text[], %(keys)s::text[], %(places)s::integer[]) as k (table_name, key, place)
  join poller.handler as h on h.table_name = k.table_name
 cross join lateral (
       select o.from_status, o.to_status
         from poller.event as o
        where o.handler_id = h.id
          and o.digest = hashtextextended(k.key, 0)
          and o.key = k.key
          and o.verdict = 'moved by hand'
          and o.from_status <> ''
        limit 20) as e
