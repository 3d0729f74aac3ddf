-- Purpose  Count the locks that one statement on a partitioned table takes, and those that the server has room for.
-- Locks    none.  Fence  none: advice. A plan that leaves partitions out locks fewer.
-- Index    the catalogue's own.
with part as (
    select p.relid from pg_catalog.pg_partition_tree(%(table)s::pg_catalog.regclass) as p
)
select (select pg_catalog.count(*) from part)
       + (select pg_catalog.count(*) from pg_catalog.pg_index as i join part as p on p.relid = i.indrelid) as taken,
       pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int4 as each,
       pg_catalog.current_setting('max_connections')::pg_catalog.int4
       + pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int4 as sessions
