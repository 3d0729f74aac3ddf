-- Purpose  Read the facts that decide whether poller can work with a server.
-- Locks    none.  Fence  none.  Index  none.
-- Aurora DSQL is recognised by a table of its own, since it calls itself Postgres.
select pg_catalog.version() as product,
       pg_catalog.to_regclass('sys.iam_pg_role_mappings') is not null as is_dsql,
       pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version,
       pg_catalog.current_setting('server_version') as version_name,
       pg_catalog.pg_is_in_recovery() as standby,
       pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool as read_only,
       pg_catalog.pg_backend_pid() as backend_pid
