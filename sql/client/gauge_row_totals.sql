-- Purpose  Read the totals of rows, for the fleet's gauges.
-- Locks    none.
-- Fence    none: read-only.
-- Index    tally's primary key: an hour of minutes, and some.
with living as materialized (
    select w.handlers from poller.worker as w where w.died_at is null and w.heartbeat_at + w.lease > poller.now()
), live as materialized (
    select distinct l.id from living cross join unnest(living.handlers) as l (id)
), counted as materialized (
    select c.handler_id, sum(c.moved) as moved, sum(c.failed) as failed, sum(c.parked) as parked, sum(c.retried) as retried
      from (select t.handler_id, t.moved, t.failed, t.parked, t.retried from poller.row_total as t
             union all
            select y.handler_id, y.moved, y.failed, y.parked, y.retried from poller.tally as y
             where y.minute > coalesce((select max(t.minute) from poller.row_total as t), '-infinity')) as c
     group by c.handler_id
)
select 'rows_total' as name, jsonb_build_object('table', h.table_name, 'status', h.status, 'outcome', o.outcome) as labels,
       coalesce(sum(o.rows), 0)::float8 as value
  from poller.handler as h
  left join counted as c on c.handler_id = h.id
 cross join lateral (values ('moved', c.moved), ('failed', c.failed), ('parked', c.parked), ('retried', c.retried)) as o (outcome, rows)
 where h.table_name <> 'poller.run' and (c.handler_id is not null or h.id in (select l.id from live as l))
 group by h.table_name, h.status, o.outcome
