-- Purpose  List the partitions that lie wholly before the cut-off, oldest first, where a table is partitioned by ranges
--          of the column alone; and what prevents dropping them.
-- Locks    none.
-- Fence    a partition's bound cannot change while it is attached: truncating and dropping look at nothing else.
-- Index    the catalogue's own.
-- A partition that another session has begun to detach is left to it; one that a purge has begun to detach comes first,
-- since Postgres detaches no other before.
with part as (
    select c.oid, n.nspname::text as schema, c.relname::text as name, i.inhdetachpending as is_pending,
           substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']*)''\)$')::{type} as until,
           obj_description(c.oid, 'pg_class') is not distinct from %(mark)s as is_marked,
           p.partdefid <> 0 as beside_default,
           not (pg_has_role(c.relowner, 'usage') and pg_has_role(r.relowner, 'usage')) as is_foreign,
           exists (select from pg_partition_tree(c.oid) as tree where row_security_active(tree.relid))
               or row_security_active(r.oid) as hides_rows,
           exists (select from pg_constraint as k
                    where k.confrelid in (r.oid, c.oid) and k.contype = 'f') as is_referred_to,
           (select min(t.tgname)::text
              from pg_partition_tree(c.oid) as tree
              join pg_trigger as t on t.tgrelid = tree.relid
             where not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype::integer & 8 <> 0) as delete_trigger,
           (select min(t.tgname)::text
              from pg_trigger as t
             where t.tgrelid = r.oid and not t.tgisinternal and t.tgenabled <> 'D'
               and t.tgtype::integer & 8 <> 0) as table_trigger
      from pg_partitioned_table as p
      join pg_class as r on r.oid = p.partrelid
      join pg_attribute as a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
      join pg_inherits as i on i.inhparent = p.partrelid
      join pg_class as c on c.oid = i.inhrelid
      join pg_namespace as n on n.oid = c.relnamespace
     where p.partrelid = %(table)s
       and p.partstrat = 'r'
       and p.partnatts = 1
       and a.attname = %(column)s
)
select oid, schema, name, is_pending, beside_default, is_foreign, hides_rows, is_referred_to,
       coalesce(table_trigger, delete_trigger) as delete_trigger
  from part
 where until <= {cut_off}
   and (is_marked or not is_pending)
 order by is_pending desc, until
