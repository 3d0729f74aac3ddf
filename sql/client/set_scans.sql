-- Purpose  Set whether the transaction may use sequential scans where it could use an index.
-- Locks    none.  Fence  none.  Index  none.
select set_config('enable_seqscan', %(seqscan)s, true), set_config('enable_bitmapscan', %(bitmapscan)s, true)
