-- Purpose  Take the turn to measure the fleet, if no other process has it; say what was measured a moment ago.
-- Locks    an advisory lock, if it is free, until the transaction ends: it saves work, and nothing rests on it.
-- Fence    none: numbers that are measured twice are the same.
-- Index    gauge's primary key.
-- Times that are ahead are of a clock that was set back: what was measured then is old.
-- Returns  whether this process measures; whether the fleet's numbers are old; of which handlers those of due rows are not; of which
--          they were measured lately.
select pg_try_advisory_xact_lock(hashtextextended('poller gauges', 0)) as taken,
       not exists (select from poller.gauge as g
                    where g.name = 'workers'
                      and g.at between poller.now() - %(fresh)s::interval and poller.now() + interval '5 seconds') as is_old,
       array(select g.labels from poller.gauge as g
              where g.name = 'due'
                and g.at between poller.now() - %(fresh)s::interval and poller.now() + interval '5 seconds') as due,
       array(select g.labels from poller.gauge as g
              where g.name = 'due'
                and g.at between poller.now() - %(others)s::interval and poller.now() + interval '5 seconds') as recent
