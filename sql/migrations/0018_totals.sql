-- Counts that tell edges apart, how long attempts take, and totals that never go backwards.

-- Of the rows that moved, how many to each status; and how long attempts took: the first 64 of each minute, some of each settle.
alter table poller.tally
    add column to_statuses jsonb not null default '{}',
    add column seconds real[] not null default '{}';

-- What was counted in minutes that are purged: they are folded in as they go, whoever deletes them.
create table poller.total (
    handler_id  integer primary key,
    moved       bigint not null,
    failed      bigint not null,
    parked      bigint not null,
    retried     bigint not null,
    to_statuses jsonb not null
);

\i functions/sum_counts.sql

\i functions/fold_tally.sql

create trigger fold_tally after delete on poller.tally
    referencing old table as gone
    for each statement execute function poller.fold_tally();

-- All that was ever counted, by handler, outcome and, of rows that moved, the status that they moved to (null where an older
-- version did not count that).
create view poller.counted as
with part as (
    select handler_id, moved, failed, parked, retried, to_statuses from poller.total
     union all
    select handler_id, moved, failed, parked, retried, to_statuses from poller.tally
), edge as (
    select p.handler_id, e.key as to_status, sum(e.value::bigint) as rows
      from part as p, jsonb_each_text(p.to_statuses) as e
     group by p.handler_id, e.key
), whole as (
    select p.handler_id, sum(p.moved) as moved, sum(p.failed) as failed, sum(p.parked) as parked, sum(p.retried) as retried
      from part as p
     group by p.handler_id
)
select e.handler_id, 'moved' as outcome, e.to_status, e.rows::bigint as rows from edge as e
 union all
select w.handler_id, 'moved', null, (w.moved - coalesce((select sum(e.rows) from edge as e where e.handler_id = w.handler_id), 0))::bigint
  from whole as w
 union all
select w.handler_id, o.outcome, null, o.rows::bigint
  from whole as w, lateral (values ('failed', w.failed), ('parked', w.parked), ('retried', w.retried)) as o (outcome, rows);
