-- Purpose  Fetch and lock rows whose next attempt is due and whose turn it is: claim_retries.sql for handlers that
--          have a `per_key`.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits. Until the transaction ends.
-- Fence    the lock of claim_alone.sql, as in claim_keyed.sql.
-- Index    attempt_next; the primary key of the user's table.
with busy as materialized (
    select {group} as "~group"
      from (select unnest(c.keys) as "~key" from poller.claim as c where c.handler_id = %(handler)s) as b
      join {table} as t on {key_columns} = {busy_columns}
), suspect as materialized (
    select a.key
      from poller.attempt as a
     where %(isolated)s
       and a.handler_id = %(handler)s
       and a.state <> 'parked'
       and a.isolated
       and a.next_at <= poller.now()
       and a.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s)
     order by a.next_at
     limit 1
), retry ("~key") as materialized (
    select a.key
      from poller.attempt as a
     where a.handler_id = %(handler)s
       and a.state <> 'parked'
       and a.next_at <= poller.now()
       and (not a.isolated or a.key = (select key from suspect))
       and a.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s)
     order by a.next_at
     limit %(look)s
), look as materialized (
    select {key} as "~key", {group} as "~group", row_number() over (order by {order}) as "~place"
      from retry as b
      join {table} as t on {key_columns} = {busy_columns}
     where {due}
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
   for no key update of t skip locked
