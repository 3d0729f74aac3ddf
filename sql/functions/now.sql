-- The one clock. Tests move it for their own session: set poller.clock_offset = '5 minutes'.
-- stable, so that an index on a timestamp can serve a comparison with it.
create or replace function poller.now() returns timestamptz
    language sql stable parallel safe
    return clock_timestamp() + coalesce(nullif(current_setting('poller.clock_offset', true), ''), '0')::interval;
