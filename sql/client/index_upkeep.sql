-- Purpose  List the indexes of a user's table, their parts on its partitions taken together: columns and condition, pages, and how
--          often each was used since the server's counts were reset.
-- Locks    none.
-- Fence    none: advice.
-- Index    the catalogue's own; one row a partition.
select c.relname::text as name, substring(pg_get_indexdef(i.indexrelid) from 'USING (.*)$') as definition,
       p.bytes, p.scans, i.indisvalid as is_valid
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
 cross join lateral (
       select (sum(b.relpages) * current_setting('block_size')::bigint)::bigint as bytes, coalesce(sum(s.idx_scan), 0)::bigint as scans
         from (select t.relid::oid as id from pg_partition_tree(i.indexrelid::regclass) as t
                union
               select i.indexrelid) as part
         join pg_class as b on b.oid = part.id
         left join pg_stat_all_indexes as s on s.indexrelid = part.id) as p
 where i.indrelid = %(table)s::oid
 order by 1
 limit 50
