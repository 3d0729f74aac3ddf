-- Purpose  Resume jobs whose pause is over, from now, as resume_job.sql does, and tell a worker of runs that wait.
-- Locks    poller.job: those rows, SKIP LOCKED: jobs that another planner holds are left to it.
-- Fence    the rows' locks; a job that was paused anew meanwhile is checked again under its own.
-- Index    job_paused; handler's unique key.
with over as materialized (
    select j.name
      from poller.job as j
     where j.paused_until <= poller.now() and j.paused_at is not null and j.function = any (%(known)s::text[])
       for no key update skip locked
)
update poller.job as j
   set paused_at = null, paused_until = null,
       planned_to = case when j.kind = 'at' then j.planned_to else poller.now() end, next_at = null, exhausted = false,
       changed_at = poller.now()
  from over
 where j.name = over.name
returning (select pg_notify('poller', concat_ws(' ', 'handler', h.id::text, pg_current_xact_id()::text))::text
             from poller.handler as h
            where h.table_name = 'poller.run' and h.status = j.function)
