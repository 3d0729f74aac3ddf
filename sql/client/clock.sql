-- Purpose  Read the one clock, also where poller's own schema does not exist yet (see poller.now()).
-- Locks    none.
-- Fence    none.
-- Index    none.
select clock_timestamp()
       + coalesce(nullif(current_setting('poller.clock_offset', true), ''), '0')::interval
