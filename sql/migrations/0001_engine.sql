-- poller's own schema: who is alive, what is in flight, which rows are in trouble, what happened.
-- The users' tables are not touched. Every timestamp is the database's own.
-- Functions find nothing through a path that others may write to: they have one of their own, or a body that was resolved
-- when they were made.

create schema if not exists poller;

\i functions/now.sql

-- One row for each (table, status column, status) that ever had a handler; for a job the status is its name.
create table poller.handler (
    id            integer generated always as identity primary key,
    table_name    text not null,
    status        text not null,
    status_column text not null default 'status',
    unique (table_name, status, status_column)
);

-- A process that claims. It is alive while it beats in time and nobody has declared it dead.
create table poller.worker (
    id           integer generated always as identity primary key,
    supervisor   uuid not null,
    host         text not null,
    pid          integer not null,
    slots        integer not null,
    handlers     integer[] not null,
    lease        interval not null,
    started_at   timestamptz not null default poller.now(),
    heartbeat_at timestamptz not null default poller.now(),
    stopping_at  timestamptz,
    died_at      timestamptz
) with (fillfactor = 50);

-- The liveness locks that are held, as long as that can be known. Unlogged on purpose: Postgres itself
-- empties the table when it recovers from a crash, and standbys do not have it, so that a row here proves
-- that no crash or failover has broken the session since; postmaster_started_at does so for restarts.
create unlogged table poller.session (
    worker_id             integer primary key references poller.worker on delete cascade,
    postmaster_started_at timestamptz not null default pg_postmaster_start_time()
);

-- A lease, one row for each claimed batch. The row is the lease: whoever cannot find it by its random id
-- has lost it. keys holds what is still in flight, as text (a composite key as a JSON array).
create table poller.claim (
    lease       uuid primary key default gen_random_uuid(),
    handler_id  integer not null references poller.handler,
    worker_id   integer not null references poller.worker,
    keys        text[] not null,
    claimed_at  timestamptz not null default poller.now(),
    sorted      boolean not null default false
);
create index claim_handler on poller.claim (handler_id);
create index claim_worker on poller.claim (worker_id);

-- Rows in trouble only: waiting for another attempt, snoozed, or parked.
create table poller.attempt (
    handler_id  integer not null references poller.handler,
    key         text not null,
    state       text not null check (state in ('waiting', 'snoozed', 'parked')),
    attempt     integer not null,            -- attempts counted so far
    crashes     integer not null default 0,  -- attempts in a row that ended with their worker
    isolated    boolean not null default false,
    next_at     timestamptz not null default poller.now(),
    error       text,
    visit       uuid not null,               -- the first attempt's lease: part of the idempotency key
    first_at    timestamptz not null default poller.now(),
    changed_at  timestamptz not null default poller.now(),
    primary key (handler_id, key)
);
create index attempt_next on poller.attempt (handler_id, next_at) where state <> 'parked';

-- What happened, in the order it happened to a row.
create table poller.history (
    handler_id  integer not null,
    key         text not null,
    id          bigint generated always as identity,
    verdict     text not null,
    from_status text not null,
    to_status   text,
    attempt     integer not null,
    seconds     real,
    error       text,
    worker_id   integer,
    lease       uuid not null,
    at          timestamptz not null default poller.now(),
    primary key (handler_id, key, id)
);
create index history_at on poller.history using brin (at);

-- Counts by minute: each worker adds to rows of its own, so that no two wait for each other.
create table poller.tally (
    minute     timestamptz not null,
    handler_id integer not null,
    worker_id  integer not null,
    moved      bigint not null default 0,
    failed     bigint not null default 0,
    parked     bigint not null default 0,
    retried    bigint not null default 0,
    primary key (minute, handler_id, worker_id)
) with (fillfactor = 50);

-- Claims and sessions live for milliseconds: vacuum by number, not by share of the table.
alter table poller.claim set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table poller.worker set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

\i functions/wake.sql
