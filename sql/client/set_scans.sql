-- Purpose  Say whether the transaction may read tables through, where it could go along an index.
-- Locks    none.  Fence  none.  Index  none.
select set_config('enable_seqscan', %(seqscan)s, true), set_config('enable_bitmapscan', %(bitmapscan)s, true)
