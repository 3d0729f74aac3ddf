-- Purpose  Tell whether poller's own schema exists and shows this role which rows handlers hold, and whether the role
--          may also make handlers forget rows. A purge by hand needs neither.
-- Locks    none.  Fence  none.
-- Index    the catalogue's own.
select exists (select from pg_proc as p
                where p.pronamespace = n.oid and p.proname = 'in_hand' and has_function_privilege(p.oid, 'execute'))
       and 2 = (select count(*) from pg_class as c
                 where c.relnamespace = n.oid and c.relname in ('handler', 'claim')
                   and has_table_privilege(c.oid, 'select')) as knows,
       exists (select from pg_class as c
                where c.relnamespace = n.oid and c.relname = 'attempt'
                  and has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'delete')) as may_forget
  from pg_namespace as n
 where n.nspname = 'poller' and has_schema_privilege(n.oid, 'usage')
