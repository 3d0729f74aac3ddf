-- Purpose  Write keys as poller writes them, whether or not there is a row: an uuid in small letters, an instant in UTC.
-- Locks    none.  Fence  none: read-only.
-- Index    none: no table is read.
select distinct {key}
  from unnest(%(keys)s::text[]) as k (key)
 cross join lateral (select {casts}) as t ({names})
