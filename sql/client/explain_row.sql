-- Purpose  Evaluate each condition of the handler's claim on one row, separately. No row: there is none with the key.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the primary key of the user's table.
select {key} as key, t.{status}::text as status, {shows_status} as shows, coalesce(({where}), false) as "where",
       coalesce({is_time}, false) as is_time, {due_at} as due_at, {group} as turn,
       {group_text} as "group"
  from {table} as t
 where {users}
   and {is_own}
