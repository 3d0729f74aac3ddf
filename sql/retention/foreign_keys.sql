-- Purpose  List the foreign keys that forbid deleting rows of a table that other rows still reference.
-- Locks    none.
-- Fence    none: Postgres enforces them itself; knowing them saves failures.
-- Index    the catalogue's own.
-- Those whose table may not be read are left out. conenforced is there from Postgres 18 on.
select k.conname::text as name, n.nspname::text as schema, c.relname::text as table,
       k.conrelid = k.confrelid as of_itself,
       (select array_agg(a.attname::text order by p.place)
          from unnest(k.conkey) with ordinality as p (attnum, place)
          join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = p.attnum) as referring,
       (select array_agg(a.attname::text order by p.place)
          from unnest(k.confkey) with ordinality as p (attnum, place)
          join pg_attribute as a on a.attrelid = k.confrelid and a.attnum = p.attnum) as referred
  from pg_constraint as k
  join pg_class as c on c.oid = k.conrelid
  join pg_namespace as n on n.oid = c.relnamespace
 where k.confrelid = %(table)s
   and k.contype = 'f'
   and k.conparentid = 0
   and k.confdeltype in ('a', 'r')
   and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
   and has_table_privilege(k.conrelid, 'select')
 order by k.conname
