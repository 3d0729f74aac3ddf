-- Purpose  Say which columns of a table this role may read.
-- Locks    none.  Fence  none: read-only.
-- Index    pg_attribute's, one row a column.
select a.attname from pg_attribute as a
 where a.attrelid = %(table)s and a.attnum > 0 and not a.attisdropped and has_column_privilege(a.attrelid, a.attnum, 'select')
