-- Purpose  Tell whether there is a table of a handler's name: it may have been replaced by another.
-- Locks    none.
-- Fence    none.
-- Index    the catalogue's own.
select to_regclass(%(table)s) is not null
