-- Purpose  Find the session that holds the lock of migration_lock.sql: another migration, or any role that may connect.
-- Locks    none.  Fence  none: a hint.
-- Index    none: Postgres' own views. They show a key of 64 bits in two halves.
with key as (select pg_catalog.hashtextextended('poller migrations', 0) as bits)
select a.pid, a.usename::pg_catalog.text as role
  from pg_catalog.pg_locks as l
  join pg_catalog.pg_stat_activity as a on a.pid = l.pid
 cross join key as k
 where l.locktype = 'advisory' and l.granted and l.objsubid = 1
   and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
   and l.classid = ((k.bits >> 32) & 4294967295)::pg_catalog.oid
   and l.objid = (k.bits & 4294967295)::pg_catalog.oid
