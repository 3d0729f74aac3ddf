-- Purpose  Return those of some names that no job has.
-- Locks    none.
-- Fence    none: read once at start-up.
-- Index    job's primary key.
select needed.name from unnest(%(names)s::text[]) as needed (name)
 where not exists (select from poller.job as j where j.name = needed.name)
