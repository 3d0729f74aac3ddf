-- Purpose  Claim the next rows that are due: fetch and lock them (look.sql or look_keyed.sql), and write their lease.
-- Locks    in this order: the user's rows, FOR NO KEY UPDATE SKIP LOCKED, so that it never waits for one; then as poller.take
--          says. Until the statement has committed, or the transaction that it stands in.
-- Fence    poller.take looks again, once all rows are locked. This statement's own snapshot may be older than the commit that
--          freed a row, so that it cannot see that row's claim.
-- Index    as the look has it; as poller.take has it.
-- Returns  the rows; behind the first of them what poller.take returned.
-- The user's columns have names of ours here, and nothing is joined, which could bring the rows out of their order.
with looked (key, {names}) as materialized (
    {look}
), asked as materialized (
    select array_agg(looked.key) as keys from looked
), taken as materialized (
    select t.* from asked, poller.take(%(handler)s, %(worker)s, asked.keys, %(seen)s::uuid[]) as t
     where asked.keys is not null
)
select looked.*,
       case when looked.key = (select asked.keys[1] from asked)
            then (select to_json(taken.*) from taken) end as taken
  from looked
