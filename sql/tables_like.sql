-- Purpose  Names of tables that a misspelt name may have meant, for the error that says so.
-- Locks    none.  Fence  none.  Index  none: the catalogue is small.
select n.nspname || '.' || c.relname
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p')
   and n.nspname not in ('pg_catalog', 'information_schema', 'poller')
 order by lower(c.relname) = lower(%(name)s) desc, 1
 limit 5
