-- Purpose  Count each handler's rows in flight and in trouble, up to so many of each kind (`most`), and those that it
--          has done in the last sixty seconds: of the previous minute, the share within them.
-- Locks    none.
-- Fence    none: read-only.
-- Index    claim_handler; attempt_latest; attempt_key, a probe for each row in flight; tally's primary key.
-- Rows in flight that have an earlier attempt are counted separately: they are not waiting.
with held as materialized (
    select c.handler_id, c.keys
      from poller.claim as c
     where c.handler_id = any(%(handlers)s::integer[])
), in_flight as (
    select handler_id, sum(cardinality(keys))::bigint as rows from held group by handler_id
), tried_again as (
    select held.handler_id, a.state, count(*) as rows
      from held
     cross join unnest(held.keys) as k (key)
     cross join lateral (select r.state from poller.attempt as r
                          where r.handler_id = held.handler_id and poller.digest(r.key) = poller.digest(k.key) limit 1) as a
     where exists (select from poller.attempt as r where r.handler_id = held.handler_id)
     group by held.handler_id, a.state
), trouble as (
    select h.id as handler_id, s.state,
           (select count(*)
              from (select from poller.attempt as a
                     where a.handler_id = h.id and a.state = s.state
                     order by a.changed_at, poller.digest(a.key)
                     limit %(most)s) as first) as rows
      from unnest(%(handlers)s::integer[]) as h (id)
     cross join (values ('waiting'), ('snoozed'), ('parked')) as s (state)
), done as (
    select y.handler_id,
           sum(y.moved * share.of_minute)::float8 as moved,
           sum((y.failed + y.parked + y.retried) * share.of_minute)::float8 as failed
      from poller.tally as y
     cross join lateral (
           select case when y.minute = date_trunc('minute', poller.now()) then 1
                       else 1 - extract(second from poller.now()) / 60 end as of_minute) as share
     where y.minute >= date_trunc('minute', poller.now()) - interval '1 minute'
     group by y.handler_id
)
select h.id,
       coalesce((select i.rows from in_flight as i where i.handler_id = h.id), 0) as in_flight,
       (select jsonb_object_agg(t.state, t.rows) from trouble as t where t.handler_id = h.id) as trouble,
       coalesce((select jsonb_object_agg(t.state, t.rows) from tried_again as t where t.handler_id = h.id), '{{}}') as tried_again,
       coalesce(done.moved, 0) as done_per_minute,
       coalesce(done.failed, 0) as failed_per_minute
  from unnest(%(handlers)s::integer[]) as h (id)
  left join done on done.handler_id = h.id
