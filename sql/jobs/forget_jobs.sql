-- Purpose  Forget schedules made at run time that have no more slots, once their runs have been purged.
-- Locks    poller.job: those rows.
-- Fence    none.
-- Index    run_unfinished and run's unique key; one row a job.
delete from poller.job as j
 where not j.declared and j.exhausted
   and not exists (select from poller.run as r where r.job = j.name)
