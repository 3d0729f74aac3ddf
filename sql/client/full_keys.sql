-- Purpose  List the values of `per_key` of which as many rows are in flight, or hold the others back, as may be: with the row
--          that has been so for longest. Of a handler, among the first so many of such rows (`look`).
-- Locks    none.
-- Fence    none: read-only.
-- Index    claim_handler, attempt_next; the user's primary key, a probe for each row.
with "~busy" as materialized (
    (select k.key as "~key", 'in flight' as "~why", c.claimed_at as "~since"
       from poller.claim as c
      cross join unnest(c.keys) as k (key)
      where c.handler_id = %(handler)s
      limit %(look)s)
     union all
    (select a.key, a.state, a.changed_at
       from poller.attempt as a
      where a.handler_id = %(handler)s and a.state <> 'parked' and %(waiting_hold)s
      order by a.next_at
      limit %(look)s)
), "~held" as (
    select b."~key", b."~why", b."~since", g."~group", g."~value"
      from "~busy" as b
     cross join lateral (
           select {group} as "~group", {value} as "~value" from {table} as t where {is_busy} and {users} offset 0) as g
)
select (array_agg(left("~value", 500) order by "~since", "~key"))[1] as value, count(*) as held,
       (array_agg("~key" order by "~since", "~key"))[1] as front, (array_agg("~why" order by "~since", "~key"))[1] as why,
       min("~since") as since
  from "~held"
 where "~group" is not null
 group by "~group"
having count(*) >= %(per_key_limit)s
 order by 2 desc, 5, 3
 limit %(limit)s
