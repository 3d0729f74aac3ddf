-- Purpose  Plan anew from now what a clock that ran ahead has planned: nothing is decided up to a time that has not come.
-- Locks    poller.job: those rows.
-- Fence    the unique key of poller.run: a slot that has had its run has no other.
-- Index    none: read at a start, and when the clock was set back.
-- A next slot that is far away is only a schedule's; a fixed delay's is never further than the delay.
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
