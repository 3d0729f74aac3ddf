-- Purpose  Have the transaction look along indexes, and by itself alone: a question that is then planned along one, and
--          stops at its limit, goes through no more rows than that. The plan is looked at before the question is asked.
-- Locks    none.  Fence  none.  Index  none.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_sort', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true)
