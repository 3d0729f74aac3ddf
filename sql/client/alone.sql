-- Purpose  Have the transaction's questions answered by one process: those that work for it read ahead of its limit.
-- Locks    none.  Fence  none.  Index  none.
select set_config('max_parallel_workers_per_gather', '0', true)
