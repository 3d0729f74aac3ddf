-- Purpose  List the tables, so that the error about a missing one can suggest which was meant.
-- Locks    none.  Fence  none.  Index  none: the catalogue is small.
select n.nspname || '.' || c.relname
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p')
   and not c.relispartition
   and n.nspname not in ('pg_catalog', 'information_schema', 'poller')
