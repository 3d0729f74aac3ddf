-- Purpose  Add to totals what they lack of numbers that were exported before: the database was set back, by a failover that lost
--          commits or by a restore, and a counter that goes back would be taken for one that has begun anew.
-- Locks    rows of poller.row_total and poller.message_total, each in one order.
-- Fence    the advisory lock of gauge_turn.sql: what is lacking was read under it.
-- Index    the primary keys of both; handler's, by its table and status.
with lacking as materialized (
    select m.name, m.labels, m.value::bigint as value
      from unnest(%(names)s::text[], %(labels)s::jsonb[], %(values)s::float8[]) as m (name, labels, value)
), rows as (
    insert into poller.row_total as t (handler_id, minute, moved, failed, parked, retried)
    select h.id, coalesce((select max(k.minute) from poller.row_total as k), '-infinity'),
           coalesce(sum(m.value) filter (where m.labels ->> 'outcome' = 'moved'), 0),
           coalesce(sum(m.value) filter (where m.labels ->> 'outcome' = 'failed'), 0),
           coalesce(sum(m.value) filter (where m.labels ->> 'outcome' = 'parked'), 0),
           coalesce(sum(m.value) filter (where m.labels ->> 'outcome' = 'retried'), 0)
      from lacking as m
     cross join lateral (select h.id from poller.handler as h
                          where h.table_name = m.labels ->> 'table' and h.status = m.labels ->> 'status'
                          order by h.id limit 1) as h
     where m.name = 'rows_total'
     group by h.id
     order by h.id
        on conflict (handler_id) do update
       set moved = t.moved + excluded.moved,
           failed = t.failed + excluded.failed,
           parked = t.parked + excluded.parked,
           retried = t.retried + excluded.retried
)
insert into poller.message_total as t (target, outcome, messages)
select m.labels ->> 'target', m.labels ->> 'outcome', m.value
  from lacking as m
 where m.name = 'alerts_total'
 order by m.labels ->> 'target', m.labels ->> 'outcome'
    on conflict (target, outcome) do update
   set messages = t.messages + excluded.messages
