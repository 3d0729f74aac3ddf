-- Purpose  Read the server's clock, to compare a host's with it; without the offset of a test (testing.move_clock).
-- Locks    none.
-- Fence    none.
-- Index    none.
select clock_timestamp()
       + case when current_setting('poller.clock_moved', true) = 'on' then interval '0'
              else coalesce(nullif(current_setting('poller.clock_offset', true), ''), '0')::interval end
