-- Purpose  Set up the session of a face that looks again and again: it changes nothing, waits for no lock, soon gives up,
--          and leaves the other cores alone.
-- Locks    none.  Fence  none.  Index  none.
select set_config('default_transaction_read_only', 'on', false),
       set_config('statement_timeout', '2s', false),
       set_config('lock_timeout', '250ms', false),
       set_config('max_parallel_workers_per_gather', '0', false),
       set_config('jit', 'off', false)
