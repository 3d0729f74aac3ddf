-- Purpose  Set up the session of a face that only looks: it changes nothing, waits for no lock for long, and leaves the other
--          cores alone.
-- Locks    none.  Fence  none.  Index  none.
select set_config('default_transaction_read_only', 'on', false), set_config('lock_timeout', %(lock_timeout)s, false),
       set_config('jit', 'off', false), set_config('max_parallel_workers_per_gather', '0', false)
