-- Purpose  Read what the server counts of a user's table, its partitions taken together: rows, dead row versions, pages, and when
--          it was last vacuumed and analyzed (the part for which that was longest ago).
-- Locks    none.
-- Fence    none: advice.
-- Index    the catalogue's own; one row a partition.
with part as (
    select p.relid from pg_partition_tree(%(table)s::oid::regclass) as p where p.isleaf
     union
    select c.oid from pg_class as c where c.oid = %(table)s::oid and c.relkind <> 'p'
)
select coalesce(sum(case when c.reltuples < 0 then s.n_live_tup else c.reltuples end), 0)::bigint as rows,
       coalesce(sum(s.n_dead_tup), 0)::bigint as dead,
       (coalesce(sum(c.relpages), 0) * current_setting('block_size')::bigint)::bigint as bytes,
       count(*)::integer as parts,
       case when bool_and(greatest(s.last_vacuum, s.last_autovacuum) is not null)
            then min(greatest(s.last_vacuum, s.last_autovacuum)) end as vacuumed_at,
       case when bool_and(greatest(s.last_analyze, s.last_autoanalyze) is not null)
            then min(greatest(s.last_analyze, s.last_autoanalyze)) end as analyzed_at
  from part
  join pg_class as c on c.oid = part.relid
  join pg_stat_all_tables as s on s.relid = part.relid
