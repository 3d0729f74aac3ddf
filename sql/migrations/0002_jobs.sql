-- Schedules and their runs. A run is a row with a status: the engine claims, runs and settles it like any other.

create table poller.job (
    name        text primary key,
    function    text not null,                    -- the declared job whose function runs
    schedule    text,                             -- as poller.slots writes it; null for none
    tz          text not null default 'UTC',
    overlap     text not null default 'allow' check (overlap in ('allow', 'skip', 'queue', 'replace')),
    misfire     text not null default 'latest' check (misfire in ('latest', 'all', 'skip')),
    grace       interval not null default '1 minute',
    jitter      interval not null default '0',
    starts_at   timestamptz,
    ends_at     timestamptz,
    after       text[] not null default '{}',     -- jobs whose success starts this one
    args        jsonb not null default '{}',
    keep        interval not null default '30 days',
    declared    boolean not null,                 -- by a program; else made at run time
    anchor      timestamptz not null default poller.now(),  -- slots of a fixed rate count from here
    planned_to  timestamptz not null default poller.now(),  -- every slot up to here has been decided
    next_at     timestamptz,                      -- the next slot; null while it is not known
    exhausted   boolean not null default false,   -- there are no more slots
    paused_at   timestamptz,
    changed_at  timestamptz not null default poller.now()
);

create table poller.run (
    id           bigint generated always as identity primary key,
    job          text not null,
    function     text not null,
    planned_at   timestamptz not null default poller.now(),
    due_at       timestamptz not null default poller.now(),  -- planned_at and its jitter
    status       text not null default 'pending'
                 check (status in ('pending', 'running', 'succeeded', 'failed', 'cancelled', 'skipped')),
    attempt      integer not null default 0,
    args         jsonb not null default '{}',
    started_at   timestamptz,
    finished_at  timestamptz,
    previous_at  timestamptz,                     -- when the last run that succeeded was planned
    cancel_at    timestamptz,                     -- somebody asked for it to stop
    error        text,
    output       text,
    done         double precision,                -- run.progress
    total        double precision,
    unique (job, planned_at)                      -- a slot fires once over the whole fleet
);
create index run_pending on poller.run (function, due_at, id) where status = 'pending';
create index run_unfinished on poller.run (job, id) where status in ('pending', 'running');
create index run_finished on poller.run (finished_at);
create index run_latest on poller.run (planned_at);

\i functions/run_moves.sql
create trigger run_moves before update of status on poller.run
    for each row when (old.status <> new.status) execute function poller.run_moves();

\i functions/run_succeeded.sql
create trigger run_succeeded after update of status on poller.run
    for each row when (new.status = 'succeeded' and old.status <> 'succeeded')
    execute function poller.run_succeeded();
