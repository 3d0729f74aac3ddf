-- Purpose  End the sessions of a worker that has been declared dead: stopped or cut off in a transaction, it would hold
--          the locks of its rows for ever.
-- Locks    none.
-- Fence    what such a worker wrote afterwards would change nothing; but its locks hold up those who come after it.
-- Index    none.
-- Only those of the same role: others may not be ended, and would not be poller's.
select count(pg_terminate_backend(a.pid))
  from pg_stat_activity as a
 where a.datname = current_database()
   and a.usename = current_user
   and a.pid <> pg_backend_pid()
   and a.application_name like 'poller %%' and right(a.application_name, length(%(tag)s) + 1) = ' ' || %(tag)s
