-- Purpose  Tell whether a partition of a table is being detached: Postgres detaches no other until that one has gone.
-- Locks    none.
-- Fence    none: Postgres refuses a second one itself.
-- Index    the catalogue's own.
select exists (select from pg_inherits as i where i.inhparent = %(table)s and i.inhdetachpending)
