-- Purpose  Find a handler's first move from a number on, and its age in transactions: a step of the search for the
--          time at which some other transaction was.
-- Locks    none.
-- Fence    none: read-only.
-- Index    move's primary key.
select m.id, age(m.xmin) as age, m.at
  from poller.move as m
 where m.handler_id = %(handler)s and m.id >= %(id)s
 order by m.id
 limit 1
