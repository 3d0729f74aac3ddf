-- Purpose  Find the numbers of the first and the last move of each of some handlers.
-- Locks    none.
-- Fence    none: read-only.
-- Index    move's primary key, from both ends.
select h.id,
       (select m.id from poller.move as m where m.handler_id = h.id order by m.id limit 1) as first,
       (select m.id from poller.move as m where m.handler_id = h.id order by m.id desc limit 1) as last
  from unnest(%(handlers)s::integer[]) as h (id)
