-- Purpose  Count handlers' rows in flight and in trouble, up to so many of a kind, for the fleet's gauges.
-- Locks    none.
-- Fence    none: read-only.
-- Index    claim_handler; attempt_latest and attempt_next, from a handler's first row; attempt_key, a probe for each row in flight.
-- Rows in flight that have an earlier attempt are counted separately: they are not waiting. `overdue` of those that wait have
-- waited long enough, the first of them since `overdue_since`. A handler is live while a worker that lives knows it; if none
-- lives, all are.
with living as materialized (
    select w.handlers from poller.worker as w where w.died_at is null and w.heartbeat_at + w.lease > poller.now()
), live as materialized (
    select distinct l.id from living cross join unnest(living.handlers) as l (id)
), held as materialized (
    select c.handler_id, c.keys from poller.claim as c where c.handler_id = any(%(handlers)s::integer[])
), in_flight as materialized (
    select h.handler_id, sum(cardinality(h.keys))::bigint as rows from held as h group by h.handler_id
), tried_again as materialized (
    select held.handler_id, count(*) filter (where a.state = 'parked') as parked,
           count(*) filter (where a.state <> 'parked') as waiting
      from held
     cross join unnest(held.keys) as k (key)
     cross join lateral (select r.state from poller.attempt as r
                          where r.handler_id = held.handler_id and poller.digest(r.key) = poller.digest(k.key) limit 1) as a
     where exists (select from poller.attempt as r where r.handler_id = held.handler_id)
     group by held.handler_id
)
select h.id, h.table_name, h.status, h.status_column,
       not exists (select from living) or h.id in (select l.id from live as l) as is_live,
       coalesce((select i.rows from in_flight as i where i.handler_id = h.id), 0) as in_flight,
       greatest(0, waiting.rows + snoozed.rows - coalesce(t.waiting, 0)) as waiting,
       greatest(0, parked.rows - coalesce(t.parked, 0)) as parked,
       greatest(0, overdue.rows - coalesce(t.waiting, 0)) as overdue,
       case when overdue.rows > coalesce(t.waiting, 0) then (
            select a.next_at
              from (select r.key, r.next_at from poller.attempt as r
                     where r.handler_id = h.id and r.state <> 'parked' and r.next_at <= poller.now()
                     order by r.next_at
                     limit 3000) as a
             where a.key not in (select k.key from held cross join unnest(held.keys) as k (key) where held.handler_id = h.id)
             order by a.next_at
             limit 1) end as overdue_since,
       poller.now() as now
  from poller.handler as h
  left join tried_again as t on t.handler_id = h.id
 cross join lateral (
       select count(*) as rows
         from (select from poller.attempt as a
                where a.handler_id = h.id and a.state = 'waiting' order by a.changed_at limit %(most)s) as f) as waiting
 cross join lateral (
       select count(*) as rows
         from (select from poller.attempt as a
                where a.handler_id = h.id and a.state = 'snoozed' order by a.changed_at limit %(most)s) as f) as snoozed
 cross join lateral (
       select count(*) as rows
         from (select from poller.attempt as a
                where a.handler_id = h.id and a.state = 'parked' order by a.changed_at limit %(most)s) as f) as parked
 cross join lateral (
       select count(*) as rows
         from (select from poller.attempt as a
                where a.handler_id = h.id and a.state <> 'parked' and a.next_at <= poller.now()
                order by a.next_at limit %(most)s) as f) as overdue
 where h.id = any(%(handlers)s::integer[])
