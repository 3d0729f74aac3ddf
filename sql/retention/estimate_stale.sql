-- Purpose  Ask the planner how many rows are old, for a progress bar: the plan is read, not run.
-- Locks    none.  Fence  none.  Index  none.
explain (format json)
select from {table} as t where {due}
