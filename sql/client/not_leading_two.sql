-- Purpose  Find one of some indexes, of a user's table or its partitions, that does not begin with two columns in any order: a
--          condition on a later one is checked for each index entry, which no plan counts.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the catalogue's own.
select 1
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
 where c.relname = any(%(names)s::text[])
   and (i.indrelid = %(table)s::oid
        or i.indrelid in (select p.relid from pg_partition_tree(%(table)s::oid::regclass) as p))
   and not array(select a.attname::text from pg_attribute as a
                  where a.attrelid = i.indrelid and a.attnum in (i.indkey[0], i.indkey[1])) @> %(columns)s::text[]
 limit 1
