-- Purpose  Compute the digests of the named keys: the look of retry.sql over those alone.
-- Locks    none.  Fence  none.  Index  none.
select poller.digest(k.key) collate "C" as digest from unnest(%(keys)s::text[]) as k (key)
