-- Purpose  Be the only one that claims rows of a handler whose claims must not overlap (limit, rate, per_key), for
--          the length of this transaction. A statement of its own: what follows has a snapshot newer than the lock.
-- Locks    a transaction advisory lock, if it is free. Whoever holds it and is stopped loses it after 5 s.
-- Fence    none: it is one.
-- Index    none.
select pg_try_advisory_xact_lock(hashtextextended('poller claim ' || %(handler)s, 0)),
       set_config('idle_in_transaction_session_timeout', '5s', true)
