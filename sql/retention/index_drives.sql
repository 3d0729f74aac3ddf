-- Purpose  Ask the planner whether an index gives the rows under a condition in the column's order, with nothing left
--          to filter: the plan is read, not run.
-- Locks    none.  Fence  none.
-- Index    this asks for it.
explain (format json)
select t.{column} from {table} as t where {driving} order by t.{column} limit 1
