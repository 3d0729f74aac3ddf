-- Purpose  The numbers of the first and of the last move of each of some handlers.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    move's primary key, from both ends.
select h.id,
       (select m.id from poller.move as m where m.handler_id = h.id order by m.id limit 1) as first,
       (select m.id from poller.move as m where m.handler_id = h.id order by m.id desc limit 1) as last
  from unnest(%(handlers)s::integer[]) as h (id)
