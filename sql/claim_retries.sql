-- Purpose  Fetch and lock rows whose next attempt is due, as many as fit into a number of bytes: the first look of a claim of
--          rows in trouble.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits. Until the transaction ends.
-- Fence    none yet; retake.sql looks again, in the same transaction.
-- Index    as the look has it.
-- Returns  the rows, or their keys alone; behind the first of them, how many bytes they come to, and whether there were others
--          that did not fit.
with looked (key, {names}) as materialized (
    {look}
), fitting as materialized ({fitting}), asked as materialized (
    select array_agg(f.key) as keys, max(f.total) as total,
           count(*) < (select count(*) from looked) as is_cut
      from fitting as f
)
select {shown},
       case when {is_first} then (select asked.total::float8 from asked) end as "~bytes",
       case when {is_first} then (select asked.is_cut from asked) end as "~is_cut"
  from looked
 limit (select cardinality(asked.keys) from asked)
