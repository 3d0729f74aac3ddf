-- Purpose  Correct times that a clock which ran ahead has written: retries, snoozes, waiting runs, heartbeats, and
--          starts that count for a rate. Each keeps the length of its wait.
-- Locks    poller.attempt, run, start and worker: those rows.
-- Fence    none: times written by the corrected clock are left alone.
-- Index    none: read at a start, and when the clock was set back.
with clock as materialized (
    select poller.now() as now, poller.now() + interval '1 minute' as ahead
), attempts as (
    update poller.attempt as a
       set next_at = a.next_at - (a.changed_at - clock.now), changed_at = clock.now,
           first_at = least(a.first_at, clock.now)
      from clock
     where a.changed_at > clock.ahead
    returning 1
), runs as (
    update poller.run as r set due_at = clock.now
      from clock
     where r.status = 'pending' and r.due_at > clock.ahead and r.planned_at > clock.ahead
    returning 1
), beginnings as (
    delete from poller.start as s using clock where s.at > clock.ahead
    returning 1
), beats as (
    update poller.worker as w set heartbeat_at = clock.now
      from clock
     where w.heartbeat_at > clock.ahead
    returning 1
)
select (select count(*) from attempts), (select count(*) from runs), (select count(*) from beginnings),
       (select count(*) from beats)
