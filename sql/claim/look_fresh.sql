-- Purpose  List the next rows that are due, held by no worker, and of keys that are not full: a part of
--          look_keyed.sql. Rows of full keys are filtered out on the way, so that they hide no others.
-- Locks    none.
-- Fence    as look_keyed.sql.
-- Index    as look.sql.
select {key} as "~key", {group} as "~group", row_number() over (order by {order}) as "~place"
  from {table} as t
 where {due}
   and {key_columns} not in (
         select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = %(handler)s)
   and (select true from poller.attempt as a
         where a.handler_id = %(handler)s and poller.digest(a.key) = poller.digest({key}) limit 1) is null
   and ({group} is null or {group} not in (
         select b."~group" from "~busy" as b where b."~group" is not null
          group by b."~group" having count(*) >= %(per_key_limit)s))
 order by {order}
 limit %(look)s
