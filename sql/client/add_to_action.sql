-- Purpose  Add the rows that a further batch has reached to a logged order, in that batch's transaction.
-- Locks    poller.action: its row.
-- Fence    none: no other session changes it.
-- Index    action's primary key.
update poller.action set affected = affected + %(affected)s where id = %(id)s
