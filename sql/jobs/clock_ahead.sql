-- Purpose  Count the effects of a clock that ran ahead: jobs planned beyond now, rows and runs put off.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none: one row a job, attempt and unfinished run.
with clock as materialized (
    select poller.now() as now, poller.now() + interval '1 minute' as ahead
)
select (select count(*) from poller.job as j
         where greatest(j.planned_to, j.anchor, j.changed_at) > clock.ahead
            or j.kind = 'fixed_delay'
               and j.next_at > greatest(clock.now, j.starts_at) + j.every + interval '1 minute')
           as jobs,
       (select count(*) from poller.attempt as a where a.changed_at > clock.ahead) as rows,
       (select count(*) from poller.run as r
         where r.status = 'pending' and r.due_at > clock.ahead and r.planned_at > clock.ahead) as runs
  from clock
