-- Purpose  List the newest rows in trouble of one handler in one state: a branch of failures.sql. A row without an error
--          was given back after its handler ran, and only its visit is stored.
-- Locks    none.
-- Fence    none: read-only.
-- Index    attempt_latest, from its end.
(select {handler}::integer as handler_id, a.key, a.attempt, a.error, a.state, case when a.state = 'waiting' then a.next_at end as next_at,
        a.changed_at as at, poller.digest(a.key) as digest, {rank} as rank, null::text as to_status, a.kind, a.place,
        {traceback} as traceback
   from poller.attempt as a
  where a.handler_id = {handler}
    and a.state = {state}
    and a.error is not null
    and (a.changed_at, poller.digest(a.key)) {before} (%(at)s::timestamptz, %(digest)s::text collate "C")
  order by a.changed_at desc, poller.digest(a.key) desc
  limit %(limit)s)
