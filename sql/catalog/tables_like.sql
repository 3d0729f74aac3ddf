-- Purpose  Name the tables, for the error about one that is not there: which of them may have been meant.
-- Locks    none.  Fence  none.  Index  none: the catalogue is small.
select n.nspname || '.' || c.relname
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p')
   and not c.relispartition
   and n.nspname not in ('pg_catalog', 'information_schema', 'poller')
