-- Purpose  Tell whether a partial index holds every row that has a status: its predicate, tried on that status
--          alone.
-- Locks    none.
-- Fence    none: advice.
-- Index    none.
-- Raises 42703 when the predicate names further columns: then the question cannot be decided.
select ({predicate}) is true
  from (select {value}::{type} as {column}) as t
