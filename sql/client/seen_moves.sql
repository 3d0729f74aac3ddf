-- Purpose  List the moves of handlers, from which status to which, as the counts show. Those of purged minutes
--          are in the totals; of the others the newest 10,000 counts are read.
-- Locks    none.
-- Fence    none: read-only.
-- Index    tally's primary key, from its end; one row a handler of the totals.
with counted as (
    select t.handler_id, t.to_statuses from poller.total as t
     union all
    (select y.handler_id, y.to_statuses from poller.tally as y order by y.minute desc limit 10000)
)
select distinct h.table_name as "table", h.status_column as "column",
       coalesce(h.definition ->> 'during', h.status) as from_status, e.to_status
  from counted as c
  join poller.handler as h on h.id = c.handler_id
 cross join lateral jsonb_object_keys(c.to_statuses) as e (to_status)
 where h.table_name <> 'poller.run'
