-- Purpose  Take a turn at what is to be done once in so many seconds over the fleet: to survey some jobs and handlers, say.
-- Locks    poller.turn: one row.
-- Fence    the row: of two at the same moment the second finds it taken. A turn that was taken by a clock that ran ahead does not
--          count.
-- Index    turn's primary key.
insert into poller.turn as t (name) values (%(name)s)
    on conflict (name) do update
   set at = excluded.at
 where t.at <= excluded.at - make_interval(secs => %(seconds)s) or t.at > excluded.at + interval '1 minute'
returning true
