-- Purpose  Claim the next rows that are due: fetch and lock them (look.sql or look_keyed.sql), as many as fit into a number of
--          bytes, and write their lease.
-- Locks    in this order: the user's rows, FOR NO KEY UPDATE SKIP LOCKED, so that it never waits for one; then as poller.take
--          says. Until the statement has committed, or the transaction that it stands in. Rows that do not fit are locked, too.
-- Fence    poller.take looks again, once all rows are locked. This statement's own snapshot may be older than the commit that
--          freed a row, so that it cannot see that row's claim.
-- Index    as the look has it; as poller.take has it.
-- Returns  the rows, or their keys alone; behind the first of them what poller.take returned, how many bytes a row comes to in
--          the mean, and whether there were others that did not fit.
-- The user's columns have names of ours here, and nothing is joined, which could bring the rows out of their order.
with looked (key, {names}) as materialized (
    {look}
), asked as materialized (
    {fitting}
), taken as materialized (
    select t.* from asked, poller.take(%(handler)s, %(worker)s, asked.keys, %(seen)s::uuid[], %(sorted)s) as t
     where asked.keys is not null
)
select {shown},
       case when looked.key = (select asked.keys[1] from asked) then (
            select to_json(told.*)
              from (select t.*, asked.size, cardinality(asked.keys) < asked.rows as is_cut from asked left join taken as t on true) as told)
       end as told
  from looked
 limit (select cardinality(asked.keys) from asked)
