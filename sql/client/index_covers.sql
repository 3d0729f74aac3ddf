-- Purpose  Tell whether a partial index holds every row that has a status: its predicate, tried on that status
--          alone.
-- Locks    none.
-- Fence    none: advice.
-- Index    none.
-- Raises what Postgres raises when the predicate names further columns (42703): then it cannot be told.
select ({predicate}) is true
  from (select {value}::{type} as {column}) as t
