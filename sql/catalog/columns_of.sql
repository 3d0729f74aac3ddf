-- Purpose  List the columns of the tables that have one of some names, in any schema of the user's.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the catalogue's own.
select n.nspname, c.relname, array_agg(a.attname::text order by a.attnum)
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 where c.relname = any(%(names)s::text[])
   and c.relkind in ('r', 'p')
   and n.nspname not in ('pg_catalog', 'information_schema', 'poller')
 group by n.nspname, c.relname
