-- Purpose  Have the transaction plan as the server does by default, where the session looks along indexes
--          (watch_settings.sql): what a plan costs then tells whether a table is small.
-- Locks    none.  Fence  none.  Index  none.
select set_config('enable_seqscan', 'on', true), set_config('enable_bitmapscan', 'on', true),
       set_config('enable_sort', 'on', true)
