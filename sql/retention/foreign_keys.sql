-- Purpose  List the foreign keys that forbid deleting rows of a table that other rows still reference.
-- Locks    none.
-- Fence    none: Postgres enforces them itself; knowing them saves failures.
-- Index    the catalogue's own.
-- Those whose table may not be read are left out. conenforced is there from Postgres 18 on.
-- A key that refers to a partitioned table has a constraint for each of its partitions, too, whose parent is the table's;
-- and one for each partition that refers. Of these the topmost counts that refers to the table or to one of its
-- partitions. It is told by the name of the topmost of all, which its user has given.
-- `only_of` has the partitions that a key refers to, if it does not refer to the whole table.
with here as (
    select %(table)s::oid as oid
     union
    select tree.relid from pg_partition_tree(%(table)s::oid) as tree
)
select (with recursive line as (
            select k.conname, k.conparentid
             union all
            select p.conname, p.conparentid from line join pg_constraint as p on p.oid = line.conparentid)
        select line.conname::text from line where line.conparentid = 0) as name,
       n.nspname::text as schema, c.relname::text as table,
       coalesce(pg_partition_root(k.conrelid), k.conrelid)
           = coalesce(pg_partition_root(k.confrelid), k.confrelid) as of_itself,
       (select array_agg(tree.relid::oid::text)
          from pg_partition_tree(k.confrelid) as tree
         where tree.isleaf and k.confrelid <> %(table)s::oid) as only_of,
       (select array_agg(a.attname::text order by p.place)
          from unnest(k.conkey) with ordinality as p (attnum, place)
          join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = p.attnum) as referring,
       (select array_agg(a.attname::text order by p.place)
          from unnest(k.confkey) with ordinality as p (attnum, place)
          join pg_attribute as a on a.attrelid = k.confrelid and a.attnum = p.attnum) as referred
  from pg_constraint as k
  join pg_class as c on c.oid = k.conrelid
  join pg_namespace as n on n.oid = c.relnamespace
 where k.confrelid in (select here.oid from here)
   and k.contype = 'f'
   and not exists (select from pg_constraint as p
                    where p.oid = k.conparentid and p.confrelid in (select here.oid from here))
   and k.confdeltype in ('a', 'r')
   and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
   and has_table_privilege(k.conrelid, 'select')
 order by 1, k.oid
