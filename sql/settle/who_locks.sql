-- Purpose  Find the session that holds the lock of a row, or of its whole table, to name it in the log.
-- Locks    none.
-- Fence    none: to be told only.
-- Index    the primary key of the user's table.
-- A row's xmax is the transaction that has locked or changed it, if only one has ("multixact" otherwise: not told).
select a.pid, a.usename::text as role, a.application_name, date_trunc('second', a.xact_start) as began
  from pg_locks as l
  join pg_stat_activity as a on a.pid = l.pid
 where l.granted
   and l.pid <> pg_backend_pid()
   and (l.locktype = 'transactionid'
        and l.transactionid = (select t.xmax from {table} as t where {users} and {is_own})
        or l.locktype = 'relation' and l.database = (select d.oid from pg_database as d where d.datname = current_database())
           and l.relation = {table_oid}::oid and l.mode in ('ExclusiveLock', 'AccessExclusiveLock', 'ShareLock',
                                                         'ShareRowExclusiveLock'))
 order by l.locktype
 limit 1
