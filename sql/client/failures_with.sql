-- Purpose  As failures.sql, for all rows with one of some keys.
-- Locks    none.
-- Fence    none: read-only.
-- Index    attempt_key; event's primary key, as last_failed.sql.
with asked as materialized (
    select k.key, poller.digest(k.key) as digest, hashtextextended(k.key, 0) as hash from unnest(%(keys)s::text[]) as k (key)
), told as materialized (
    select e.*
      from poller.event as e
     where e.handler_id = any(%(handlers)s::integer[])
       and e.digest = any (array(select asked.hash from asked))
       and e.key in (select asked.key from asked)
), found as (
    select a.handler_id, a.key, a.attempt, a.error, a.state, case when a.state = 'waiting' then a.next_at end as next_at,
           a.changed_at as at, null as to_status, a.kind, a.place, {traceback_of_attempt} as traceback
      from poller.attempt as a
     where a.handler_id = any(%(handlers)s::integer[])
       and poller.digest(a.key) = any (array(select asked.digest from asked))
       and a.state <> 'snoozed'
       and a.error is not null
     union all
    select e.handler_id, e.key, e.attempt, e.error, 'failed', null, e.at, e.to_status, e.kind, e.place,
           {traceback_of_event} as traceback
      from told as e
     where e.verdict = 'failed'
)
select f.handler_id, f.key, f.attempt, f.error, f.state, f.next_at, f.at, poller.digest(f.key) as digest, f.handler_id as rank,
       f.to_status, f.kind, f.place, f.traceback
  from found as f
 where %(at)s::timestamptz is null or (f.at, poller.digest(f.key), -f.handler_id) < (%(at)s, %(digest)s::text, -%(rank)s::integer)
 order by f.at desc, digest desc, rank
 limit %(limit)s
