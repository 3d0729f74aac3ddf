-- Purpose  Fetch and lock rows whose next attempt is due, as many as fit into a number of bytes: the first look of a claim of
--          rows in trouble.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits. Until the transaction ends.
-- Fence    none yet; retake.sql looks again, in the same transaction.
-- Index    as the look has it.
-- Returns  the rows, or their keys alone; behind the first of them, how many bytes a row comes to in the mean, and whether there
--          were others that did not fit.
with looked (key, {names}) as materialized (
    {look}
), asked as materialized (
    {fitting}
)
select {shown},
       case when looked.key = (select asked.keys[1] from asked) then (
            select to_json(told.*)
              from (select asked.size, cardinality(asked.keys) < asked.rows as is_cut from asked) as told)
       end as told
  from looked
 limit (select cardinality(asked.keys) from asked)
