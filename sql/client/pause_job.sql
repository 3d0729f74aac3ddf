-- Purpose  Pause a job for some seconds, or until it is resumed: nothing is planned, and waiting runs do not start. One
--          that is paused already gets the new end. No row: nothing has changed.
-- Locks    poller.job: the job's row.
-- Fence    compare and set: it is not paused, or has or gets an end.
-- Index    job's primary key.
update poller.job
   set paused_at = coalesce(paused_at, poller.now()),
       paused_until = poller.now() + make_interval(secs => %(seconds)s::float8)
 where name = %(name)s
   and (paused_at is null or paused_until is not null or %(seconds)s::float8 is not null)
returning name
