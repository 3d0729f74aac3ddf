-- Purpose  List the rows that show a status, in the order of their key, a page at a time, with some columns as text.
-- Locks    none.
-- Fence    none: read-only; executed only if its plan goes along an index, or if the whole table is small (listed.py).
-- Index    on the user's table: (status, key).
select {key} as key, {values} from {table} as t
 where {users} and {shows} and {after}
 order by {key_order}
 limit %(most)s
