-- Purpose  Be the only one who makes a message for a target, until this transaction ends: for some seconds at the most, if its
--          process is stopped meanwhile.
-- Locks    the target's advisory lock; it is not waited for.
-- Fence    the lock: notices are gathered into one message, by one program.
-- Index    none.
select pg_try_advisory_xact_lock(hashtextextended('poller alerts ' || %(target)s, 0)),
       set_config('idle_in_transaction_session_timeout', %(timeout)s, true)
