-- Purpose  Tell whether a session of this role in this database may only read, unless it says otherwise: workers could not write.
-- Locks    none.  Fence  none: read-only.
-- Index    none: Postgres' own view. A session that only looks has set the setting for itself, but not what it is reset to.
select s.reset_val = 'on' from pg_settings as s where s.name = 'default_transaction_read_only'
