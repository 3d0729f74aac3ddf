-- Purpose  List the first so many rows ahead of one with the same `per_key`: those in flight; in backoff, if they
--          hold back their successors; and due before it, if the row is fresh.
-- Locks    none.
-- Fence    none: read-only.
-- Index    as look_keyed.sql: what is in flight and in backoff by the primary key; of what is due, the first `look` of
--          the key.
with "~busy" as materialized (
    select b."~key", b."~why", g."~group"
      from (select unnest(c.keys) as "~key", 'in flight' as "~why" from poller.claim as c where c.handler_id = %(handler)s
             union all
            select a.key, 'waiting' from poller.attempt as a
             where a.handler_id = %(handler)s and a.state <> 'parked' and %(waiting_hold)s) as b
     cross join lateral (select {group} as "~group" from {table} as t where {is_busy} and {users} offset 0) as g
), "~due" as materialized (
    select {key} as "~key", row_number() over (order by {order}) as "~place"
      from {table} as t
     where {due}
       and %(is_fresh)s
       and {group} = %(group)s::bigint
       and {key_columns} not in (
             select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key) where c.handler_id = %(handler)s)
       and (select true from poller.attempt as a
             where a.handler_id = %(handler)s and poller.digest(a.key) = poller.digest({key}) limit 1) is null
     order by {order}
     limit %(look)s
)
select "~key", "~why"
  from (select b."~key", b."~why", 0 as "~place" from "~busy" as b where b."~group" = %(group)s::bigint and b."~key" <> %(key)s
         union all
        select d."~key", 'due before it', d."~place" from "~due" as d
         where d."~place" < coalesce((select own."~place" from "~due" as own where own."~key" = %(key)s), %(look)s + 1)) as every
 order by "~place", "~key"
 limit %(limit)s
