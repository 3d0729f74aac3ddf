-- What happened to rows that have simply moved together is recorded once for all of them: to write an event for each took a
-- quarter of a settle, and ten times the space.

alter table poller.history rename to event;
alter index poller.history_pkey rename to event_pkey;
alter index poller.history_at rename to event_at;

-- Rows of one lease that have moved in one settle, at their first attempt, to one status.
create table poller.move (
    handler_id  integer not null,
    id          bigint generated always as identity,
    from_status text not null,
    to_status   text not null,
    worker_id   integer not null,
    lease       uuid not null,
    keys        text[] not null,
    seconds     real[] not null,
    at          timestamptz not null default poller.now(),
    primary key (handler_id, id)
);
-- Random keys cannot be compressed, and to try costs more than to write them.
alter table poller.move alter column keys set storage external;
create index move_at on poller.move using brin (at);

-- What happened to each row, in the order it happened to it.
create view poller.history as
select handler_id, key, verdict, from_status, to_status, attempt, seconds, error, worker_id, lease, at
  from poller.event
 union all
select m.handler_id, k.key, 'moved', m.from_status, m.to_status, 1, k.seconds, null, m.worker_id, m.lease, m.at
  from poller.move as m, unnest(m.keys, m.seconds) as k (key, seconds);
