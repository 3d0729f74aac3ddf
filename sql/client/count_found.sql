-- Purpose  Count what a query finds that is bounded.
-- Locks    none.  Fence  none: read-only.  Index  the query's.
select count(*) from ({found}) as t
