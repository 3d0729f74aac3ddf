-- Purpose  List rows whose next attempt is due, in the order of the table: a part of look_keyed.sql.
-- Locks    none.
-- Fence    as look_keyed.sql.
-- Index    attempt_next; the primary key of the user's table.
select {key} as "~key", {group} as "~group", row_number() over (order by {order}) as "~place"
  from ({due_retries}) as "~retry" ("~key")
  join {table} as t on {is_retry}
 where {due}
