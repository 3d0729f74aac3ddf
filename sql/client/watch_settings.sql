-- Purpose  Have the session that looks at the fleet again and again look along indexes alone: what has none is not counted.
-- Locks    none.  Fence  none.  Index  none.
select set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false),
       set_config('enable_sort', 'off', false)
