-- Purpose  Find a table by its name: one without a schema as its user's own statements find it, by their path.
-- Locks    none.  Fence  none.  Index  none.
select pg_catalog.to_regclass(%(name)s)::oid::bigint where {as_users}
