-- Purpose  Tell whether the server's autovacuum is on.
-- Locks    none.
-- Fence    none: advice.
-- Index    none.
select current_setting('autovacuum')::boolean
