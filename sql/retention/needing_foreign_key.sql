-- Purpose  A branch of purge_batch.sql: name the foreign key, if it needs a row `t`.
-- Locks    none.
-- Fence    none: Postgres enforces the key itself.
-- Index    on the table that refers: the referring columns.
when {there} and exists (select from {child} as c where {same} and {other}) then {constraint}
