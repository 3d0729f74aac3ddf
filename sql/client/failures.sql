-- Purpose  List the rows in trouble, the newest first: parked, waiting for another attempt after one that failed, or gone to an
--          `on_failure`. A branch a handler and a state; what is the same to the microsecond stands in the order of the branches.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    those of the branches, whose orders are merged: each is read as far as it is shown.
select f.handler_id, f.key, f.attempt, f.error, f.state, f.next_at, f.at, f.digest, f.rank, f.to_status, f.kind, f.place, f.traceback
  from ({branches}) as f
 order by f.at desc, f.digest desc, f.rank
 limit %(limit)s
