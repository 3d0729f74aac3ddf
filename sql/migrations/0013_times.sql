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

create or replace function poller.tell_supervisors() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    perform pg_notify('poller_supervisor', tg_table_name::text);
    return null;
end
$$;

-- That a slot was planned concerns nobody else.
drop trigger tell_supervisors on poller.job;
create trigger tell_supervisors after insert or delete or update of
       function, schedule, tz, overlap, misfire, grace, jitter, starts_at, ends_at, after, args, declared, paused_at
    on poller.job for each statement execute function poller.tell_supervisors();

-- How long a fixed delay is: null for any other schedule, and for a text that Postgres cannot read.
create function poller.delay_of(schedule text) returns interval
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    as $$
begin
    return case when schedule like '@after %' then least(substr(schedule, 8)::interval, '36525 days') end;
exception when data_exception then
    return null;
end
$$;

create or replace function poller.run_moves() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if new.status = 'running' then
        new.attempt := old.attempt + 1;
        new.started_at := poller.now();
        new.finished_at := null;
        select max(r.planned_at) into new.previous_at
          from poller.run as r where r.job = new.job and r.status = 'succeeded';
    elsif new.status = 'pending' then
        if old.status <> 'running' then  -- somebody has it run again
            new.attempt := 0;
            new.finished_at := null;
            new.cancel_at := null;
        end if;
    else
        new.finished_at := poller.now();
        update poller.job as j
           set next_at = new.finished_at + poller.delay_of(j.schedule)
         where j.name = new.job and j.schedule like '@after %';
        if found then
            perform pg_notify('poller_supervisor', 'job');
        end if;
    end if;
    return new;
end
$$;

-- Its followers are found by their index; slots of a clock that ran ahead do not count.
create or replace function poller.run_succeeded() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
declare
    follower poller.job;
begin
    for follower in
        select * from poller.job as j
         where j.after <> '{}' and j.after @> array[new.job] and j.paused_at is null
         order by j.name for no key update
    loop
        insert into poller.run (job, function, args)
        select follower.name, follower.function, follower.args
         where not exists (
            select from unnest(follower.after) as needed (name)
             where not exists (
                select from poller.run as r
                 where r.job = needed.name and r.status = 'succeeded'
                   and r.finished_at > coalesce(
                        (select max(f.planned_at) from poller.run as f
                          where f.job = follower.name and f.planned_at <= poller.now()),
                        '-infinity')))
            on conflict do nothing;
        perform pg_notify('poller', '');
    end loop;
    return null;
end
$$;

-- --- purging beside handlers -------------------------------------------------------------------------------

-- Which of some rows of a table are in hand of a handler. Volatile, so that it sees what was committed before the rows
-- were locked, as poller.take does: "VOLATILE functions obtain a fresh snapshot at the start of each query".
create function poller.in_hand(handled text, asked text[]) returns text[]
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
    as $$
begin
    return array(
        select unnest(asked)
     intersect
        select k.key
          from poller.handler as h
          join poller.claim as c on c.handler_id = h.id, unnest(c.keys) as k (key)
         where h.table_name = handled);
end
$$;
