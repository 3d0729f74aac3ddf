-- Purpose  Read the statistics of a user's table: the frequent values of a column, and the last analysis of the part
--          that was analysed longest ago; null if one never was.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the catalogue's own.
with part as materialized (
    select p.relid::oid as oid from pg_partition_tree(%(table)s::oid::regclass) as p where p.isleaf
     union
    select %(table)s::oid where not exists (select from pg_partition_tree(%(table)s::oid::regclass))
), frequent as (
    select v.value
      from pg_class as c
      join pg_namespace as n on n.oid = c.relnamespace
      join pg_stats as s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = %(column)s,
           unnest(s.most_common_vals::text::text[], s.most_common_freqs) as v (value, share)
     where c.oid in (select part.oid from part union select %(table)s::oid)
     group by v.value
     order by max(v.share) desc
     limit 50
)
select coalesce((select array_agg(f.value) from frequent as f), '{{}}') as values,
       (select case when count(*) = count(a.at) then min(a.at) end
          from (select greatest(pg_stat_get_last_analyze_time(part.oid), pg_stat_get_last_autoanalyze_time(part.oid)) as at
                  from part) as a) as analyzed_at
