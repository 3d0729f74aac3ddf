-- Purpose  Set what a session of poller's relies on, whatever the defaults of the role or the database.
-- Locks    none.  Fence  none.  Index  none.
-- A key's text must be the same in every session, hence the output formats (Postgres docs, 20.11.2). The time zone stays
-- the database's: triggers, policies, conditions and handlers of the user's read the clock in it (`localtimestamp`).
-- array_nulls: with "off" a null in what is sent as an array would be the text 'NULL'. quote_all_identifiers: the names of
-- types are compared.
-- Settings that a server does not know are left out: transaction_timeout came with Postgres 17.
-- READ COMMITTED: under REPEATABLE READ, SKIP LOCKED raises 40001 for a row that changed since the snapshot.
select set_config('datestyle', 'ISO, YMD', false),
       set_config('intervalstyle', 'postgres', false),
       set_config('bytea_output', 'hex', false),
       set_config('extra_float_digits', '1', false),
       set_config('array_nulls', 'on', false),
       set_config('quote_all_identifiers', 'off', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('lock_timeout', %(lock_timeout)s, false),
       set_config('statement_timeout', %(statement_timeout)s, false),
       set_config('idle_in_transaction_session_timeout', '60s', false),
       set_config('tcp_keepalives_idle', '10', false),
       set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false),
       set_config('tcp_user_timeout', '15000', false),
       set_config('poller.quiet', 'on', false),
       (select count(set_config(s.name, '0', false)) from pg_settings as s
         where s.name in ('idle_session_timeout', 'transaction_timeout'))
