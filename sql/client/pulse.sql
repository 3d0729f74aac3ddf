-- Purpose  Say of each handler how many of its rows are in flight, wait or are parked, and what it has done in
--          the last sixty seconds: of the minute before this one, the share that is not over yet.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    none for claims and attempts, which are few; tally's primary key.
with held as materialized (
    select c.handler_id, k.key
      from poller.claim as c
     cross join unnest(c.keys) as k (key)
     where c.handler_id = any(%(handlers)s::integer[])
), in_flight as (
    select handler_id, count(*) as rows from held group by handler_id
), trouble as (
    select a.handler_id,
           count(*) filter (where a.state <> 'parked') as waiting,
           count(*) filter (where a.state = 'parked') as parked
      from poller.attempt as a
     where a.handler_id = any(%(handlers)s::integer[])
       and (a.handler_id, a.key) not in (select handler_id, key from held)
     group by a.handler_id
), done as (
    select y.handler_id,
           sum(y.moved * case when y.minute = date_trunc('minute', poller.now()) then 1
                              else 1 - extract(second from poller.now()) / 60 end)::float8 as moved
      from poller.tally as y
     where y.minute >= date_trunc('minute', poller.now()) - interval '1 minute'
     group by y.handler_id
)
select h.id,
       coalesce(in_flight.rows, 0) as in_flight,
       coalesce(trouble.waiting, 0) as waiting,
       coalesce(trouble.parked, 0) as parked,
       coalesce(done.moved, 0) as done_per_minute
  from unnest(%(handlers)s::integer[]) as h (id)
  left join in_flight on in_flight.handler_id = h.id
  left join trouble on trouble.handler_id = h.id
  left join done on done.handler_id = h.id
