-- Purpose  Write down that a message has arrived.
-- Locks    poller.message: its row.
-- Fence    its attempt: one that another sender has taken meanwhile is that one's.
-- Index    message's unique key.
update poller.message
   set state = 'sent', sent_at = poller.now(), error = null
 where key = %(key)s and attempts = %(attempts)s and state = 'waiting'
