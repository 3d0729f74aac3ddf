-- Purpose  Read by which ways the transaction may look for rows, to be restored by set_scans.sql.
-- Locks    none.  Fence  none.  Index  none.
select current_setting('enable_seqscan') as seqscan, current_setting('enable_bitmapscan') as bitmapscan,
       current_setting('enable_hashjoin') as hashjoin, current_setting('enable_mergejoin') as mergejoin
