-- The fleet's numbers for those who look from outside, and totals of runs.

-- What one process measures for all of them, about every fifteen seconds; see poller/client/gauges.py. A number that is
-- not measured any more goes away within a minute or two.
create table poller.gauge (
    name   text not null,
    labels jsonb not null default '{}',
    value  double precision not null,
    at     timestamptz not null default poller.now(),
    primary key (name, labels)
) with (fillfactor = 50);

-- All that was ever counted of a handler in minutes up to `minute` (the newest is meant, and holds for all handlers), whether
-- they are still in poller.tally or not: a month of minutes need not be added up again and again.
create table poller.row_total (
    handler_id integer primary key,
    minute     timestamptz not null,
    moved      bigint not null,
    failed     bigint not null,
    parked     bigint not null,
    retried    bigint not null
) with (fillfactor = 50);

-- Ended runs by the function that was run, and how they ended. What ends them adds to one of sixteen parts.
create table poller.run_total (
    function text not null,
    outcome  text not null,
    part     integer not null,
    runs     bigint not null,
    last_at  timestamptz,
    primary key (function, outcome, part)
) with (fillfactor = 50);

\i functions/fold_tally.sql

\i functions/count_runs.sql

create trigger count_runs after update on poller.run
    referencing old table as unfinished new table as ended
    for each statement execute function poller.count_runs();

insert into poller.run_total (function, outcome, part, runs, last_at)
select r.function, r.status, 0, count(*), max(r.finished_at)
  from poller.run as r
 where r.status in ('succeeded', 'failed', 'cancelled')
 group by r.function, r.status;

insert into poller.row_total (handler_id, minute, moved, failed, parked, retried)
select c.handler_id, date_trunc('minute', poller.now()) - interval '1 hour', sum(c.moved), sum(c.failed), sum(c.parked), sum(c.retried)
  from (select t.handler_id, t.moved, t.failed, t.parked, t.retried from poller.total as t
         union all
        select y.handler_id, y.moved, y.failed, y.parked, y.retried from poller.tally as y
         where y.minute <= date_trunc('minute', poller.now()) - interval '1 hour') as c
 group by c.handler_id;
