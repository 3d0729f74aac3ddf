-- Purpose  Find the session that holds the lock of a row, or of its whole table, to name it in the log.
-- Locks    none.
-- Fence    none: to be told only.
-- Index    the primary key of the user's table.
-- A row's xmax is the transaction that has locked or changed it, if only one has ("multixact" otherwise: not told).
-- A prepared transaction has no session: its locks have no pid.
select coalesce(a.leader_pid, a.pid) as pid, coalesce(a.usename, x.owner)::text as role, coalesce(a.application_name, x.gid) as application_name,
       date_trunc('second', coalesce(a.xact_start, x.prepared)) as began
  from pg_locks as l
  left join pg_stat_activity as a on a.pid = l.pid
  left join pg_locks as o on l.pid is null and o.pid is null and o.virtualtransaction = l.virtualtransaction
                         and o.locktype = 'transactionid' and o.granted
  left join pg_prepared_xacts as x on x.transaction = o.transactionid
 where l.granted
   and l.pid is distinct from pg_backend_pid()
   and (a.pid is not null or x.gid is not null)
   and (l.locktype = 'transactionid'
        and l.transactionid = (select t.xmax from {table} as t where {users} and {is_own})
        or l.locktype = 'relation' and l.database = (select d.oid from pg_database as d where d.datname = current_database())
           and l.relation = {table_oid}::oid and l.mode in ('ExclusiveLock', 'AccessExclusiveLock', 'ShareLock',
                                                         'ShareRowExclusiveLock'))
 order by l.locktype
 limit 1
