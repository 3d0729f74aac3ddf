-- Purpose  Lock leased rows for the transaction that their handlers run in, and fetch them as they stand.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: a row that another session is editing is left out.
-- Fence    settle.sql, at the end of the same transaction, finds the lease or nothing is committed.
-- Index    the primary key of the user's table.
select {key} as "~key", {columns}
  from unnest(%(keys)s::text[]) as o (poller_key)
  join {table} as t on {is_own}
 where {users} and {is_keyed}
   and {shows_held}
   for no key update of t skip locked
