-- Purpose  Add what a further batch has reached to an order that is written down, in that batch's transaction.
-- Locks    poller.action: its row.
-- Fence    none: nobody else changes it.
-- Index    action's primary key.
update poller.action set affected = affected + %(affected)s where id = %(id)s
