-- Purpose  Lock rows that show a handler's `during`, to find out whether a worker holds them.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED, behind what is remembered of them (lock_retries.sql).
-- Fence    none yet: restore_retried.sql looks for claims, in a statement of its own.
-- Index    the primary key of the user's table.
select o.poller_key
  from unnest(%(keys)s::text[]) as o (poller_key)
  join {table} as t on {is_own}
 where {users} and {is_keyed}
   and {shows_during}
   for no key update of t skip locked
