-- Purpose  Bring back what a clock that ran ahead has put off: retries, snoozes, runs that wait, beats, and beginnings that
--          count for a rate. How long each was to wait stays as it was.
-- Locks    poller.attempt, run, start and worker: those rows.
-- Fence    none: what was written by the clock as it is now is left alone.
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
