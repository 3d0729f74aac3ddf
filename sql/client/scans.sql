-- Purpose  Read whether the transaction may use sequential scans, to be restored by set_scans.sql.
-- Locks    none.  Fence  none.  Index  none.
select current_setting('enable_seqscan'), current_setting('enable_bitmapscan')
