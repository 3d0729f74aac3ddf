-- Purpose  Find the session with the oldest transaction, and the one whose snapshot keeps most from being vacuumed; and tell
--          whether this role sees what all others do. A parallel worker of a query stands for its leader's session.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none: a view of what is in memory.
select (select coalesce(a.leader_pid, a.pid) from pg_stat_activity as a
         where a.datname = current_database() and coalesce(a.leader_pid, a.pid) <> pg_backend_pid() and a.xact_start is not null
         order by a.xact_start limit 1) as transaction,
       (select coalesce(a.leader_pid, a.pid) from pg_stat_activity as a
         where a.datname = current_database() and coalesce(a.leader_pid, a.pid) <> pg_backend_pid() and a.backend_xmin is not null
         order by age(a.backend_xmin) desc limit 1) as snapshot,
       pg_has_role('pg_read_all_stats', 'usage') as sees_all
