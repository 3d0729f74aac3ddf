-- Purpose  Return the keys of the rows that have keys equal to those given: 2.5 may be stored as 2.50, and a of a citext as A.
-- Locks    none.  Fence  none: read-only.
-- Index    the primary key of the user's table, a probe for each key.
select r.key
  from unnest(%(keys)s::text[]) as k (key)
 cross join lateral (select {key} as key from {table} as t where {users} and {is_asked} limit 1) as r
