-- Schedules by the hundred thousand, and values that no program can read.

-- --- what no program can read is not let in ---------------------------------------------------------

-- A year of Python's calendar and a few days' room, since a zone is added to it. What is there already keeps its meaning:
-- 'infinity' becomes the last day, on which nothing will be due either.
update poller.job
   set starts_at = least(greatest(starts_at, '0001-01-03Z'), '9999-12-29Z'),
       ends_at = least(greatest(ends_at, '0001-01-03Z'), '9999-12-29Z'),
       anchor = least(greatest(anchor, '0001-01-03Z'), '9999-12-29Z'),
       planned_to = least(greatest(planned_to, '0001-01-03Z'), '9999-12-29Z'),
       next_at = least(greatest(next_at, '0001-01-03Z'), '9999-12-29Z'),
       paused_at = least(greatest(paused_at, '0001-01-03Z'), '9999-12-29Z'),
       changed_at = least(greatest(changed_at, '0001-01-03Z'), '9999-12-29Z'),
       grace = least(greatest(grace, '0'), '36525 days'),
       jitter = least(greatest(jitter, '0'), '36525 days'),
       keep = least(greatest(keep, '0'), '36525 days'),
       args = case when jsonb_typeof(args) = 'object' then args else jsonb_build_object('args', args) end;
alter table poller.job
  add constraint readable_times check (
      coalesce(starts_at, anchor) between '0001-01-03Z' and '9999-12-29Z'
      and coalesce(ends_at, anchor) between '0001-01-03Z' and '9999-12-29Z'
      and coalesce(next_at, anchor) between '0001-01-03Z' and '9999-12-29Z'
      and coalesce(paused_at, anchor) between '0001-01-03Z' and '9999-12-29Z'
      and anchor between '0001-01-03Z' and '9999-12-29Z'
      and planned_to between '0001-01-03Z' and '9999-12-29Z'
      and changed_at between '0001-01-03Z' and '9999-12-29Z'),
  add constraint readable_durations check (
      grace between '0' and '36525 days' and jitter between '0' and '36525 days' and keep between '0' and '36525 days'),
  add constraint args_by_name check (jsonb_typeof(args) = 'object');

update poller.run
   set planned_at = least(greatest(planned_at, '0001-01-03Z'), '9999-12-29Z'),
       due_at = least(greatest(due_at, '0001-01-03Z'), '9999-12-29Z'),
       started_at = least(greatest(started_at, '0001-01-03Z'), '9999-12-29Z'),
       finished_at = least(greatest(finished_at, '0001-01-03Z'), '9999-12-29Z'),
       previous_at = least(greatest(previous_at, '0001-01-03Z'), '9999-12-29Z'),
       cancel_at = least(greatest(cancel_at, '0001-01-03Z'), '9999-12-29Z')
 where greatest(planned_at, due_at, started_at, finished_at, previous_at, cancel_at) > '9999-12-29Z'
    or least(planned_at, due_at, started_at, finished_at, previous_at, cancel_at) < '0001-01-03Z';
alter table poller.run
  add constraint readable_times check (
      greatest(planned_at, due_at, started_at, finished_at, previous_at, cancel_at) <= '9999-12-29Z'
      and least(planned_at, due_at, started_at, finished_at, previous_at, cancel_at) >= '0001-01-03Z');

-- --- one supervisor at a time leads the planning -------------------------------------------------------

-- Those who know the same jobs (a digest of their names) share a row: who planned last plans next, and the others look
-- only for what it has left. It saves work; nothing rests on it.
create table poller.planner (
    functions  text primary key,
    supervisor uuid not null
);

-- --- indexes: a look costs the same for ten jobs and a hundred thousand ---------------------------------

create index job_next on poller.job (function, (coalesce(next_at, timestamptz '-infinity')))
    where schedule is not null and paused_at is null and not exhausted;
create index job_after on poller.job using gin (after) where after <> '{}';
alter table poller.job set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- A planner that lacked a time zone has given such jobs up for the whole fleet: they go on from now.
update poller.job
   set exhausted = false, planned_to = poller.now()
 where exhausted and schedule not like '@at %';

-- --- supervisors hear of what concerns them --------------------------------------------------------------

-- That a slot was planned concerns nobody else.
drop trigger tell_supervisors on poller.job;
create trigger tell_supervisors after insert or delete or update of
       function, schedule, tz, overlap, misfire, grace, jitter, starts_at, ends_at, after, args, declared, paused_at
    on poller.job for each statement execute function poller.tell_supervisors();

\i functions/delay_of.sql

-- --- purging beside handlers -------------------------------------------------------------------------------

\i functions/in_hand.sql
