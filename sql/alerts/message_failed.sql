-- Purpose  Write down that a message has not arrived, and when it is sent again; null for never.
-- Locks    poller.message: its row.
-- Fence    its attempt: one that another sender has taken meanwhile is that one's.
-- Index    message's unique key.
update poller.message
   set state = case when %(delay)s::float8 is null then 'given up' else 'waiting' end,
       next_at = poller.now() + make_interval(secs => coalesce(%(delay)s::float8, 0)),
       error = %(error)s
 where key = %(key)s and attempts = %(attempts)s and state = 'waiting'
