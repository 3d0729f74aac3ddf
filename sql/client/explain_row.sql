-- Purpose  Say of one row what a claim of its handler would ask of it, each condition by itself. No row: there is none with the key.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    the primary key of the user's table.
select {key} as key, t.{status}::text as status, {shows_status} as shows, coalesce(({where}), false) as "where",
       coalesce({is_time}, false) as is_time, {due_at} as due_at, {group} as "group"
  from {table} as t
 where {users}
   and {is_own}
