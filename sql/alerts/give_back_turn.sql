-- Purpose  Give back a turn that has come to nothing: the next one may be taken in so many seconds.
-- Locks    poller.turn: its row.
-- Fence    none: a later turn is not put forward by much.
-- Index    turn's primary key.
update poller.turn as t
   set at = poller.now() - make_interval(secs => %(seconds)s) + make_interval(secs => %(pause)s)
 where t.name = %(name)s
