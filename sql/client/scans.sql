-- Purpose  Read whether the transaction may read tables through, to be put back by set_scans.sql.
-- Locks    none.  Fence  none.  Index  none.
select current_setting('enable_seqscan'), current_setting('enable_bitmapscan')
