-- Purpose  Try to write where a settle writes, to find out whether a fault is about the server or one row: a full disk
--          refuses this, too. Always rolled back.
-- Locks    none that another waits for.
-- Fence    none: nothing stays.
-- Index    none.
insert into poller.event (handler_id, key, verdict, from_status, attempt, error, lease)
values (%(handler)s, '', 'rehearsal', '', 0, repeat('x', 1900), gen_random_uuid())
