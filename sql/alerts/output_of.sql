-- Purpose  Read the end of what a run has printed.
-- Locks    none.
-- Fence    none: read-only; a run that has ended prints no more.
-- Index    run's primary key.
select coalesce(right(r.output, %(most)s), '') from poller.run as r where r.id = %(run)s
