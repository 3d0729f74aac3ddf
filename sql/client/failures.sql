-- Purpose  List the rows in trouble, the newest first: parked, waiting for another attempt after one that failed, or
--          gone to an `on_failure`. One branch for each handler and state; rows of the same microsecond stand in the
--          order of the branches.
-- Locks    none.
-- Fence    none: read-only.
-- Index    those of the branches, merged in order: each is read only as far as it is shown.
select f.handler_id, f.key, f.attempt, f.error, f.state, f.next_at, f.at, f.digest, f.rank, f.to_status, f.kind, f.place, f.traceback
  from ({branches}) as f
 order by f.at desc, f.digest desc, f.rank
 limit %(limit)s
