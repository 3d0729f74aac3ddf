-- Purpose  Find one of some indexes, of a user's table or its partitions, that does not begin with a column: a condition
--          on that column is then checked for each index entry, which no plan counts.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the catalogue's own.
select 1
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
 where c.relname = any(%(names)s::text[])
   and (i.indrelid = %(table)s::oid
        or i.indrelid in (select p.relid from pg_partition_tree(%(table)s::oid::regclass) as p))
   and a.attname is distinct from %(column)s
 limit 1
