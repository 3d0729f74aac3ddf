-- Purpose  List where rows went that had no attempts left, as the history shows: of each handler, by its newest and its
--          oldest so many.
-- Locks    none.
-- Fence    none: read-only.
-- Index    event_failed, from both ends.
with seen as (
    select h.table_name, h.status_column, coalesce(h.definition ->> 'during', h.status) as from_status, e.to_status
      from poller.handler as h
     cross join lateral (
           (select n.to_status
              from poller.event as n
             where n.handler_id = h.id and n.verdict = 'failed'
             order by n.at desc, poller.digest(n.key) desc
             limit %(most)s)
             union all
           (select o.to_status
              from poller.event as o
             where o.handler_id = h.id and o.verdict = 'failed'
             order by o.at, poller.digest(o.key)
             limit %(most)s)) as e
     where h.table_name <> 'poller.run'
)
select distinct table_name as "table", status_column as "column", from_status, to_status
  from seen
 where to_status is not null
