-- Purpose  List the first two columns of each index that finds equal values in all rows of a user's table.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the catalogue's own.
select a.attname::text as first, b.attname::text as second
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  join pg_am as m on m.oid = c.relam
  join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] and a.attnum > 0
  left join pg_attribute as b on b.attrelid = i.indrelid and b.attnum = i.indkey[1] and b.attnum > 0 and i.indnkeyatts > 1
 where i.indrelid = %(table)s
   and i.indisvalid
   and i.indisready
   and i.indpred is null
   and m.amname in ('btree', 'hash')
