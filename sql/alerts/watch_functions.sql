-- Purpose  Say for which functions of jobs a run leaves a signal, and that there is somebody who takes them.
-- Locks    poller.watched: those rows, in the order of their names; runs read them without a lock.
-- Fence    none: of two programs that differ in what pings, the last one holds.
-- Index    watched's primary key.
insert into poller.watched as w (function, pings)
select f.function, f.pings
  from unnest(%(functions)s::text[], %(pings)s::boolean[]) as f (function, pings)
 order by f.function
    on conflict (function) do update
   set pings = excluded.pings, seen_at = excluded.seen_at
 where w.pings <> excluded.pings or w.seen_at < excluded.seen_at - interval '30 seconds'
