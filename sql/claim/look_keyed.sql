-- Purpose  Fetch and lock the rows whose turn it is among those with equal values of `per_key`: look.sql and
--          claim_retries.sql for handlers that have one. What is looked at is look_fresh.sql or look_retries.sql.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits. Until the transaction ends.
-- Fence    the lock of claim_alone.sql: no other worker claims for this handler meanwhile. An outcome that is written
--          meanwhile takes its row out of the claim and into poller.attempt, or away, in one commit.
-- Index    on the user's table: (key columns) where status = …, and its primary key; on poller.attempt
--          its primary key and attempt_next.
-- Rows that are in flight, and those in backoff if they hold back their successors, take the first turns of their
-- key. Nothing is joined that is not found by the primary key; see look.sql. What stands behind `offset 0` is looked for once a
-- row, however many Postgres expects: else it may read the whole table for them.
with "~busy" as materialized (
    select g."~group"
      from (select unnest(c.keys) as "~key" from poller.claim as c where c.handler_id = %(handler)s
             union all
            select a.key from poller.attempt as a
             where a.handler_id = %(handler)s and a.state <> 'parked' and %(waiting_hold)s) as b
     cross join lateral (select {group} as "~group" from {table} as t where {is_busy} and {users} offset 0) as g
), "~look" as materialized (
    {look}
), "~turn" as (
    select "~key", "~place", "~group", row_number() over (partition by "~group" order by "~place") as "~turn"
      from (select null as "~key", "~group", 0 as "~place" from "~busy"
             union all
            select "~key", "~group", "~place" from "~look") as every
), "~chosen" as materialized (
    select "~key" from "~turn"
     where "~key" is not null and ("~turn" <= %(per_key_limit)s or "~group" is null)
     order by "~place"
     limit %(limit)s
)
select {key} as "~key", {columns}
  from "~chosen"
  join {table} as t on {is_chosen}
 where {due} and {is_keyed}
 order by {order}
   for no key update of t skip locked
