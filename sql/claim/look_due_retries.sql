-- Purpose  Fetch and lock rows whose next attempt is due: a part of claim_retries.sql.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits. Until the transaction ends.
-- Fence    as claim_retries.sql.
-- Index    attempt_next; the primary key of the user's table.
with "~retry" ("~key") as materialized (
    {due_retries}
)
select {key} as "~key", {columns}
  from "~retry"
  join {table} as t on {is_retry}
 where {due} and {is_keyed}
   for no key update of t skip locked
