-- Purpose  Be the only one that claims rows of a handler whose claims must not overlap (limit, rate, per_key), for
--          the length of this transaction. A statement of its own: what follows has a snapshot newer than the lock.
-- Locks    poller.handler: the handler's row, FOR NO KEY UPDATE SKIP LOCKED, which lets claims refer to it. A row, since
--          any role that may connect can take an advisory lock; locking the row needs a worker's grants. A session that
--          holds it and is stopped loses it after 5 s.
-- Fence    none: it is one.
-- Index    handler's primary key.
select exists (select from poller.handler as h where h.id = %(handler)s for no key update skip locked),
       set_config('idle_in_transaction_session_timeout', '5s', true)
