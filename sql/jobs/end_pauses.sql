-- Purpose  Let jobs go on whose pause has an end that has passed, as resume_job.sql does: from now.
-- Locks    poller.job: those rows, SKIP LOCKED: what another planner has in hand is left to it.
-- Fence    the rows' locks; a job that was paused anew meanwhile is looked at again under its own.
-- Index    job_paused.
with over as materialized (
    select j.name
      from poller.job as j
     where j.paused_until <= poller.now() and j.paused_at is not null and j.function = any (%(known)s::text[])
       for no key update skip locked
)
update poller.job as j
   set paused_at = null, paused_until = null, planned_to = poller.now(), next_at = null, exhausted = false
  from over
 where j.name = over.name
