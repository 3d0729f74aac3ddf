-- Purpose  Tell whether the server knows when transactions were committed (track_commit_timestamp).
-- Locks    none.  Fence  none.  Index  none.
select current_setting('track_commit_timestamp')::boolean
