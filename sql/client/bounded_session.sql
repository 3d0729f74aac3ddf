-- Purpose  Have a session of the desk's write nothing, and wait for no lock longer than a moment.
-- Locks    none.  Fence  none.  Index  none.
select set_config('default_transaction_read_only', 'on', false), set_config('lock_timeout', '1s', false),
       set_config('jit', 'off', false), set_config('max_parallel_workers_per_gather', '0', false)
