-- Purpose  Find the keys of a user's table next to one that may not be there: some before, some after it.
-- Locks    none.
-- Fence    none: read-only.
-- Index    the user's primary key, in both directions.
(select {key} as key from {table} as t where {users} and {before} order by {descending} limit %(limit)s)
 union all
(select {key} as key from {table} as t where {users} and {after} order by {ascending} limit %(limit)s)
