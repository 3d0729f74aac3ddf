-- Purpose  List the silences that hold, the one that ends last first.
-- Locks    none.
-- Fence    none: read-only.
-- Index    silence_until.
select s.pattern as name, s.until, s.reason, s.actor, s.at
  from poller.silence as s
 where s.ended_at is null and s.until > poller.now()
 order by s.until desc, s.id desc
