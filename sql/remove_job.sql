-- Purpose  Remove a schedule made at run time. No row: there is none, or a program declares it.
-- Locks    poller.job: its row.
-- Fence    declared: what a program declares is left as it is.
-- Index    job's primary key.
delete from poller.job
 where name = %(name)s and not declared
returning name
