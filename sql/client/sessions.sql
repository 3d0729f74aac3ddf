-- Purpose  List sessions by their numbers. What another role's is doing is null, unless this role has pg_read_all_stats.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none: a view of what is in memory.
select a.pid, coalesce(a.application_name, '') as application, a.usename::text as role, a.state, a.xact_start as began_at,
       age(a.backend_xmin) as behind,
       case when pg_has_role(a.usesysid, 'usage') or pg_has_role('pg_read_all_stats', 'usage') then left(a.query, 500) end as query
  from pg_stat_activity as a
 where a.pid = any (%(pids)s::integer[])
 order by a.pid
