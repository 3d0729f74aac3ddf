-- Purpose  Read from the catalogue what may slow down or hide work on a user's table.
-- Locks    none.
-- Fence    none: advice.
-- Index    the catalogue's own.
select c.relkind = 'p' as is_partitioned,
       row_security_active(c.oid) as hides_rows,
       (select count(*) from pg_policy as p where p.polrelid = c.oid) as policies,
       (select array_agg(each.relid::text)
          from (select relid from pg_partition_tree(c.oid) where isleaf
                 union select c.oid) as each (relid)
          join pg_class as part on part.oid = each.relid
         cross join pg_options_to_table(part.reloptions) as o
         where o.option_name = 'autovacuum_enabled'
           and o.option_value in ('false', 'off', 'no', '0')) as without_autovacuum
  from pg_class as c
 where c.oid = %(table)s
