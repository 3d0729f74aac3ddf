-- Purpose  Tell whether the table of orders exists and the role may write to it.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none.
select exists (
    select
      from pg_class as c
      join pg_namespace as s on s.oid = c.relnamespace
     where s.nspname = 'poller' and c.relname = 'action'
       and has_schema_privilege(s.oid, 'usage') and has_table_privilege(c.oid, 'insert'))
