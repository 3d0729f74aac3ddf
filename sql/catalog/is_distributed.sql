-- Purpose  Tell whether Citus spreads a table over several servers. One kept whole on this server is like any
--          other: partmethod n (none) and repmodel s (streaming, as Citus calls its local tables).
-- Locks    none.  Fence  none.
-- Index    Citus' own.
select exists (select from pg_catalog.pg_dist_partition as p
                where p.logicalrelid = %(oid)s::pg_catalog.oid
                  and not (p.partmethod = 'n' and p.repmodel = 's'))
