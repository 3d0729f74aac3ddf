-- Purpose  Find the session that has a whole table locked, so that its rows cannot even be read.
-- Locks    none.
-- Fence    none: to be told only.
-- Index    none: one row a lock.
-- A prepared transaction has no session: its locks have no pid.
select a.pid, coalesce(a.usename, x.owner)::text as role, coalesce(a.application_name, x.gid) as application_name,
       date_trunc('second', coalesce(a.xact_start, x.prepared)) as began
  from pg_locks as l
  left join pg_stat_activity as a on a.pid = l.pid
  left join pg_locks as o on l.pid is null and o.pid is null and o.virtualtransaction = l.virtualtransaction
                         and o.locktype = 'transactionid' and o.granted
  left join pg_prepared_xacts as x on x.transaction = o.transactionid
 where l.granted
   and l.pid is distinct from pg_backend_pid()
   and (a.pid is not null or x.gid is not null)
   and l.locktype = 'relation'
   and l.database = (select d.oid from pg_database as d where d.datname = current_database())
   and l.relation = %(table)s::oid
   and l.mode = 'AccessExclusiveLock'
 limit 1
