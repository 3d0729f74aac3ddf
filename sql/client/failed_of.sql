-- Purpose  List the rows of one handler that failed for good and went to its `on_failure`, the newest first: a branch of
--          failures.sql.
-- Locks    none.
-- Fence    none: read-only.
-- Index    event_failed, backwards.
(select {handler}::integer as handler_id, e.key, e.attempt, e.error, 'failed' as state, null::timestamptz as next_at,
        e.at, poller.digest(e.key) as digest, {rank} as rank, e.to_status, e.kind, e.place, {traceback} as traceback
   from poller.event as e
  where e.handler_id = {handler}
    and e.verdict = 'failed'
    and (e.at, poller.digest(e.key)) {before} (%(at)s::timestamptz, %(digest)s::text collate "C")
  order by e.at desc, poller.digest(e.key) desc
  limit %(limit)s)
