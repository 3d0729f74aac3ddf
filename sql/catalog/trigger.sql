-- Purpose  Add a trigger to a user's table that wakes the workers when rows or their status change. Opt-in.
-- Locks    the table, SHARE ROW EXCLUSIVE, for a moment: it waits for writers, and they for it.
-- Fence    none: a notification is a hint.
-- Index    none.
create or replace trigger poller_wake
 after insert or update of {status} on {table}
   for each statement execute function poller.wake()
