-- Purpose  Plan jobs anew from now that a clock which ran ahead has planned: slots are never decided up to a future
--          time.
-- Locks    poller.job: those rows.
-- Fence    the unique key of poller.run: a slot never has a second run.
-- Index    none: read at a start, and when the clock was set back.
-- A schedule's next slot may be far away; a fixed delay's is never further than the delay.
with clock as materialized (select poller.now() as now)
update poller.job as j
   set planned_to = least(j.planned_to, clock.now),
       anchor = least(j.anchor, clock.now),
       changed_at = least(j.changed_at, clock.now),
       next_at = case when j.kind = 'fixed_delay'
                      then least(j.next_at, greatest(clock.now, j.starts_at) + j.every) end,
       exhausted = false
  from clock
 where greatest(j.planned_to, j.anchor, j.changed_at) > clock.now + interval '1 minute'
    or j.kind = 'fixed_delay'
       and j.next_at > greatest(clock.now, j.starts_at) + j.every + interval '1 minute'
returning j.name
