-- Purpose  Remove a schedule made at run time; or a job that no program declares any more. No row: there is none, or it
--          is still declared.
-- Locks    poller.job: its row.
-- Fence    declared: a declared job is left as it is, unless the caller calls it forsaken and no living worker has it.
-- Index    job's primary key; handler's unique key; one row a worker.
delete from poller.job as j
 where j.name = %(name)s
   and (not j.declared
        or %(forsaken)s
           and not exists (select from poller.handler as h
                             join poller.worker as w on w.died_at is null and h.id = any (w.handlers)
                            where h.table_name = 'poller.run' and h.status = j.name))
returning j.name
