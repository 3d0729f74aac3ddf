-- Purpose  Tell how many blocks a table has, or the largest of its partitions.
-- Locks    access share, for the size.
-- Fence    none: blocks added later are left to the next run.
-- Index    the catalogue's own.
with recursive part (oid) as (
    select %(table)s::oid
    union all
    select i.inhrelid from pg_inherits as i join part on part.oid = i.inhparent
)
select coalesce(max(pg_relation_size(oid)), 0) / current_setting('block_size')::bigint from part
