-- Purpose  Turn parallel plans off in the transaction: parallel workers read beyond a query's limit.
-- Locks    none.  Fence  none.  Index  none.
select set_config('max_parallel_workers_per_gather', '0', true)
