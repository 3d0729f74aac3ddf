-- Purpose  Fix the instant before which rows are old, by the one clock, as text of the column's own type. A column
--          without time zone is read in the database's; of a date, the whole day must be over.
-- Locks    none.
-- Fence    fixed once a run: rows that grow old meanwhile are left to the next run.
-- Index    none.
-- As clock.sql: a purge does not need poller's own schema.
select ((clock_timestamp()
         + coalesce(nullif(current_setting('poller.clock_offset', true), ''), '0')::interval
         - make_interval(secs => %(older_than)s)){zone})::{type}::text
