-- Purpose  Read the statuses of rows, by their keys.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the primary key of the user's table.
select o.poller_key, t.{status}::text
  from unnest(%(keys)s::text[]) as o (poller_key)
  join {table} as t on {is_own}
 where {users}
