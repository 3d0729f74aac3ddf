-- Purpose  Find the session that has a whole table locked, so that its rows cannot even be read.
-- Locks    none.
-- Fence    none: to be told only.
-- Index    none: one row a lock.
select a.pid, a.usename::text as role, a.application_name, date_trunc('second', a.xact_start) as began
  from pg_locks as l
  join pg_stat_activity as a on a.pid = l.pid
 where l.granted
   and l.pid <> pg_backend_pid()
   and l.locktype = 'relation'
   and l.database = (select d.oid from pg_database as d where d.datname = current_database())
   and l.relation = %(table)s::oid
   and l.mode = 'AccessExclusiveLock'
 limit 1
