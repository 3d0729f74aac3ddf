-- Purpose  Read keys as the table's key is read now; it fails if one of them cannot be such a key.
-- Locks    none.  Fence  none: read-only.
-- Index    none: no table is read.
-- Each is read, whatever is made of the answer: count(*) alone would leave that out.
select count((k.key, {casts})) from unnest(%(keys)s::text[]) as k (key)
 where {users}
