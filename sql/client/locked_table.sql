-- Purpose  Name a table that another session has locked, and that session: after a wait for a lock was given up.
-- Locks    none.  Fence  none: to be told only.
-- Index    none: one row a lock. The strongest first.
select l.relation::regclass::text as name, coalesce(a.leader_pid, a.pid) as pid, a.usename::text as role, a.application_name, date_trunc('second', a.xact_start) as began
  from pg_locks as l
  join pg_class as c on c.oid = l.relation
  join pg_stat_activity as a on a.pid = l.pid
 where l.granted
   and l.locktype = 'relation'
   and l.database = (select d.oid from pg_database as d where d.datname = current_database())
   and l.pid <> pg_backend_pid()
   and c.relkind in ('r', 'p')
   and l.mode in ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
 order by array_position(array['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock'], l.mode), l.pid
 limit 1
