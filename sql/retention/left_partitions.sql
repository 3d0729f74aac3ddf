-- Purpose  List the tables that a purge has emptied and detached, but not dropped, because it ended in between.
-- Locks    none.
-- Fence    none: only one that is still empty under its lock is dropped.
-- Index    the catalogue's own.
select n.nspname::text as schema, c.relname::text as name
  from pg_description as d
  join pg_class as c on c.oid = d.objoid
  join pg_namespace as n on n.oid = c.relnamespace
 where d.classoid = 'pg_class'::regclass
   and d.objsubid = 0
   and d.description = %(mark)s
   and c.relkind in ('r', 'p')
   and not c.relispartition
   and pg_has_role(c.relowner, 'usage')
 order by 1, 2
