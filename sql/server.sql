-- Purpose  Ask a server what decides whether poller can work with it.
-- Locks    none.  Fence  none.  Index  none.
select current_setting('server_version_num')::integer as version,
       current_setting('server_version') as version_name,
       pg_is_in_recovery() as standby,
       current_setting('transaction_read_only')::boolean as read_only,
       pg_backend_pid() as backend_pid
