-- Purpose  Fetch and lock the next rows that are due, in nobody's hands, and whose turn it is among the rows with
--          equal values of `per_key`: claim.sql for handlers that have one.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits. Until the transaction ends.
-- Fence    the lock of claim_alone.sql: nobody else claims for this handler meanwhile. An outcome that is written
--          meanwhile takes its row out of the claim and into poller.attempt, or away, in one commit.
-- Index    on the user's table: (key columns) where status = …, and its primary key; on poller.attempt
--          its primary key and attempt_next.
-- The rows of full groups are filtered out on the way, so that they hide no others; of the rest the first ones
-- in order are looked at. Rows that are in flight take the first turns of their group.
-- Nothing is joined that is not found by the primary key; see claim.sql.
with busy as materialized (
    select {group} as "~group"
      from (select unnest(c.keys) as "~key" from poller.claim as c where c.handler_id = %(handler)s
             union all
            select a.key from poller.attempt as a
             where a.handler_id = %(handler)s and a.state <> 'parked' and %(in_order)s) as b
      join {table} as t on {key_columns} = {busy_columns}
), look as materialized (
    select {key} as "~key", {group} as "~group", row_number() over (order by {order}) as "~place"
      from {table} as t
     where {due}
       and {key_columns} not in (
             select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s)
       and (select true from poller.attempt as a
             where a.handler_id = %(handler)s and a.key = {key} limit 1) is null
       and ({group} is null or {group} not in (
             select b."~group" from busy as b where b."~group" is not null
              group by b."~group" having count(*) >= %(per_key_limit)s))
     order by {order}
     limit %(look)s
), turn as (
    select "~key", "~place", "~group", row_number() over (partition by "~group" order by "~place") as "~turn"
      from (select null as "~key", "~group", 0 as "~place" from busy
             union all
            select "~key", "~group", "~place" from look) as every
), chosen as materialized (
    select "~key" from turn
     where "~key" is not null and ("~turn" <= %(per_key_limit)s or "~group" is null)
     order by "~place"
     limit %(limit)s
)
select {key} as "~key", {columns}
  from chosen
  join {table} as t on {key_columns} = {chosen_columns}
 where {due}
 order by {order}
   for no key update of t skip locked
