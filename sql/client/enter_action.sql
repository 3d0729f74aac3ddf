-- Purpose  Log an order, in the transaction that carries it out.
-- Locks    none.
-- Fence    none: it is written once, and never changed.
-- Index    none.
insert into poller.action (actor, via, action, target, filter, detail, affected)
values (current_user || coalesce(' (' || %(person)s::text || ')', ''), %(via)s, %(action)s, %(target)s,
        %(filter)s::text[], %(detail)s, %(affected)s)
returning id
