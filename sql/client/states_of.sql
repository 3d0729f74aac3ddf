-- Purpose  Say of rows whether they are in flight, and with whom, or in trouble, and until when.
-- Locks    none.
-- Fence    none: read-only.
-- Index    attempt_key, a probe for each row; claim_handler: only rows in flight.
with asked as materialized (
    select k.key, poller.digest(k.key) as digest from unnest(%(keys)s::text[]) as k (key)
), held as materialized (
    select k.key, min(c.worker_id) as worker_id
      from poller.claim as c
     cross join unnest(c.keys) as k (key)
     where c.handler_id = any (%(handlers)s::integer[]) and k.key = any (%(keys)s::text[])
     group by k.key
)
select asked.key, case when held.key is not null then 'in flight' else a.state end as state, a.attempt,
       case when a.state in ('waiting', 'snoozed') then a.next_at end as next_at, held.worker_id as worker,
       coalesce(a.kind, substring(a.error from '^\w+(?=: )')) as kind, a.place, a.error
  from asked
  left join held on held.key = asked.key
  left join lateral (
       select r.* from poller.attempt as r
        where r.handler_id = any (%(handlers)s::integer[]) and poller.digest(r.key) = asked.digest and r.key = asked.key
        limit 1) as a on true
 where held.key is not null or a.key is not null
