-- Purpose  Read the server's clock, to hold a host's against it; that a test has moved on purpose (testing.move_clock) is as
--          it was.
-- Locks    none.
-- Fence    none.
-- Index    none.
select clock_timestamp()
       + case when current_setting('poller.clock_moved', true) = 'on' then interval '0'
              else coalesce(nullif(current_setting('poller.clock_offset', true), ''), '0')::interval end
