-- Purpose  Add to what an order has reached: one that is carried out batch by batch, each in a transaction of its own.
-- Locks    poller.action: its row, which nobody else writes.
-- Fence    none.
-- Index    action's primary key.
update poller.action set affected = affected + %(affected)s where id = %(id)s
