-- Purpose  Have the transaction measure along indexes alone, without waiting for a lock or working for long.
-- Locks    none.  Fence  none.  Index  none.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_sort', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true),
       set_config('lock_timeout', '250ms', true), set_config('statement_timeout', '2s', true)
