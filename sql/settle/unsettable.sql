-- Purpose  Ask which columns of a table this role may not update, once a settle was refused for want of a right.
-- Locks    none.  Fence  none.
-- Index    the catalogue's own.
select a.attname::text
  from pg_attribute as a
 where a.attrelid = %(table)s
   and a.attname = any (%(columns)s::text[])
   and not a.attisdropped
   and not has_column_privilege(a.attrelid, a.attnum, 'update')
 order by a.attnum
