-- Purpose  Find a table by its name; without a schema, along the search path of the user's own statements.
-- Locks    none.  Fence  none.  Index  none.
select pg_catalog.to_regclass(%(name)s)::oid::bigint where {as_users}
