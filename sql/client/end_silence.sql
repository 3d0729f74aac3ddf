-- Purpose  End the silences of a name that hold.
-- Locks    poller.silence: those rows.
-- Fence    none: one that has ended stays so.
-- Index    silence_until.
update poller.silence
   set ended_at = poller.now()
 where pattern = %(name)s and ended_at is null and until > poller.now()
