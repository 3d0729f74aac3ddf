-- Purpose  Read which revision poller's own schema is at.
-- Locks    none.  Fence  none.  Index  none: one row.
select version_num from poller.alembic_version
