-- Purpose  List rows that show a status, of those that have a value in another column, which are so many at the most (`look`).
-- Locks    none.
-- Fence    none: read-only; executed only if the plan of the inner part goes along an index that begins with the column, and
--          there are not more (filtering.py).
-- Index    on the user's table: one that begins with the other column.
select {key} as key, {values}
  from ({found}) as t
 where {shows} and {after}
 order by {key_order}
 limit %(most)s
