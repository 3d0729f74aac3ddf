-- Purpose  Tell whether the role may give orders: whether it may write what poller remembers of attempts.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none.
select has_table_privilege('poller.attempt', 'update')
