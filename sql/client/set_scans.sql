-- Purpose  Set by which ways the transaction may look for rows where an index, a probe for each, could serve: a join that goes
--          through a whole table or index costs as much as that is large.
-- Locks    none.  Fence  none.  Index  none.
select set_config('enable_seqscan', %(seqscan)s, true), set_config('enable_bitmapscan', %(bitmapscan)s, true),
       set_config('enable_hashjoin', %(hashjoin)s, true), set_config('enable_mergejoin', %(mergejoin)s, true)
