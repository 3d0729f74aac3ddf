-- Purpose  Say whether there is anything to do for alerts: the one question of a round while all is well.
-- Locks    none.
-- Fence    none: a hint; what follows decides.
-- Index    signal's primary key, episode_owed, episode_open, notice_unsent, message_waiting; episodes that are open are few.
select exists (select from poller.signal as s where s.function = any (%(functions)s::text[]) limit 1)
    or exists (select from poller.episode as e where e.owed is not null)
    or exists (select from poller.episode as e where e.closed_at is null)
    or exists (select from poller.notice as n where n.target = any (%(targets)s::text[]) and n.message is null)
    or exists (select from poller.message as m where m.target = any (%(targets)s::text[]) and m.state = 'waiting')
    as waits
