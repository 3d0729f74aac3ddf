-- Purpose  List the valid indexes of a user's table: the first column of each, and the predicate of a
--          partial one.
-- Locks    none.
-- Fence    none: advice.
-- Index    the catalogue's own.
select i.indexrelid::regclass::text as name,
       a.attname::text as leads,
       pg_get_expr(i.indpred, i.indrelid) as predicate
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  join pg_am as m on m.oid = c.relam
  left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] and a.attnum > 0
 where i.indrelid = %(table)s
   and i.indisvalid
   and i.indisready
   and m.amname in ('btree', 'hash')
 order by 1
