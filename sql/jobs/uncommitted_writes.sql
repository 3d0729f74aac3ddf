-- Purpose  List the sessions of this database with uncommitted writes, for a hint in tests.
-- Locks    none.
-- Fence    none: advice.
-- Index    none.
select a.pid
  from pg_stat_activity as a
 where a.datname = current_database()
   and a.state = 'idle in transaction'
   and a.backend_xid is not null
   and a.pid <> pg_backend_pid()
