-- Purpose  Set up the session that looks at the fleet for the desk again and again: it writes nothing, waits for nobody
--          for long, and looks along indexes, by itself alone.
-- Locks    none.  Fence  none.  Index  none.
select set_config('default_transaction_read_only', 'on', false), set_config('statement_timeout', '2s', false),
       set_config('lock_timeout', '250ms', false), set_config('jit', 'off', false),
       set_config('max_parallel_workers_per_gather', '0', false), set_config('enable_seqscan', 'off', false),
       set_config('enable_bitmapscan', 'off', false), set_config('enable_sort', 'off', false)
