-- Purpose  List poller's sessions that wait for a lock: since when, for which, and the sessions that have it.
-- Locks    none of tables; who holds a lock is asked for each session, at most so many (`limit`), which stops the server's
--          table of locks for an instant.
-- Fence    none: read-only.
-- Index    none: views of what is in memory.
select a.pid, a.application_name as application, a.usename::text as role, l.locktype as kind, l.relation::regclass::text as relation,
       coalesce(l.waitstart, a.state_change) as since, pg_blocking_pids(a.pid) as blockers
  from pg_locks as l
  join pg_stat_activity as a on a.pid = l.pid
 where not l.granted
   and a.datname = current_database()
   and a.application_name like 'poller%%'
 order by 6, 1
 limit %(limit)s
