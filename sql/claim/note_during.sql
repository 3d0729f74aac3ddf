-- Purpose  Note in leases which status their rows show now (a handler's `during`): who takes them back if their worker dies, or on
--          a person's order, may be a newer program, with another `during` or none.
-- Locks    poller.claim: rows that this transaction has written.
-- Fence    none: they are its own.
-- Index    claim's primary key.
update poller.claim set during = %(during)s where lease = any(%(leases)s::uuid[])
