-- Alerts: what goes wrong is an episode, what is told of it are notices, what is sent are messages.

-- Functions of jobs whose runs are told of; a program that tells says so again each minute.
create table poller.watched (
    function text primary key,
    pings    boolean not null,
    seen_at  timestamptz not null default poller.now()
);

-- When something was done last that is done once in a while over the fleet: a survey of some jobs and handlers, a heartbeat.
create table poller.turn (
    name text primary key,
    at   timestamptz not null default poller.now()
);

-- What a run's own statement leaves: it failed, or, for those that ping, started or ended. Taken up within a second or two.
create table poller.signal (
    id         bigint generated always as identity primary key,
    event      text not null check (event in ('start', 'success', 'fail')),
    run_id     bigint not null,
    job        text not null,
    function   text not null,
    planned_at timestamptz not null,
    error      text,
    place      text,
    at         timestamptz not null default poller.now()
);

-- Something that goes wrong with a job, a handler or a host, from its first sign until it is over. There is one at a time of a kind.
create table poller.episode (
    id           bigint generated always as identity primary key,
    subject_type text not null check (subject_type in ('job', 'handler', 'host')),
    subject      text not null check (subject <> ''),
    kind         text not null check (kind in ('failed', 'late', 'missed', 'long', 'stale', 'parked', 'oldest', 'failing', 'gone')),
    targets      text[] not null,
    opened_at    timestamptz not null default poller.now(),
    last_at      timestamptz not null default poller.now(),
    closed_at    timestamptz,
    times        bigint not null check (times >= 0),
    error        text,
    place        text,
    detail       text,
    signatures   text[] not null default '{}',
    notices      integer not null default 0 check (notices >= 0),
    notified_at  timestamptz,
    owed         text check (owed in ('opened', 'changed', 'recovered'))
);
comment on column poller.episode.error is 'The class of the latest error.';
comment on column poller.episode.signatures is 'Which errors were seen: class and place.';
comment on column poller.episode.owed is 'The notice that is to be made next, if one is.';
create unique index episode_open on poller.episode (subject_type, subject, kind) where closed_at is null;
create index episode_subject on poller.episode (subject_type, subject, kind, last_at);
create index episode_owed on poller.episode (id) where owed is not null;
create index episode_closed on poller.episode (closed_at);

-- What is sent to a target: several notices at once, or a ping. A sender holds it until next_at; attempts is its fence.
create table poller.message (
    id       bigint generated always as identity primary key,
    key      uuid not null unique default gen_random_uuid(),  -- an idempotency key: the same whenever it is sent again
    target   text not null,
    at       timestamptz not null default poller.now(),
    ping     text check (ping in ('start', 'success', 'fail')),
    payload  jsonb not null check (jsonb_typeof(payload) = 'object'),
    state    text not null default 'waiting' check (state in ('waiting', 'sent', 'given up')),
    attempts integer not null default 0 check (attempts >= 0),
    next_at  timestamptz not null default poller.now(),
    sent_at  timestamptz,
    error    text
);
comment on column poller.message.error is 'Why the last attempt failed; never holds the address.';
create index message_waiting on poller.message (target, id) where state = 'waiting';
create index message_recent on poller.message (target, at);
create index message_at on poller.message (at);

-- How many messages have ended, and how: messages are purged, and a counter never goes backwards.
create table poller.message_total (
    target   text not null,
    outcome  text not null check (outcome in ('sent', 'given up')),
    messages bigint not null,
    primary key (target, outcome)
) with (fillfactor = 50);

-- One thing to tell one target of an episode: its first sign, a new error, that it still lasts, that it is over.
create table poller.notice (
    id         bigint generated always as identity primary key,
    episode_id bigint not null references poller.episode on delete cascade,
    target     text not null,
    number     integer not null check (number > 0),
    reason     text not null check (reason in ('opened', 'changed', 'reminder', 'recovered')),
    at         timestamptz not null default poller.now(),
    error      text,
    place      text,
    message    uuid,
    unique (episode_id, target, number)
);
create index notice_unsent on poller.notice (target, id) where message is null;

-- Names that people keep quiet for a while.
create table poller.silence (
    id       bigint generated always as identity primary key,
    pattern  text not null check (pattern <> ''),
    "like"   text not null generated always as
             (translate(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_')) stored,
    reason   text,
    actor    text not null,
    at       timestamptz not null default poller.now(),
    until    timestamptz not null,
    ended_at timestamptz
);
create index silence_until on poller.silence (until);

-- The newest success of a job; the triggers ask for it, too.
create index run_succeeded on poller.run (job, planned_at) where status = 'succeeded';
create index run_skipped on poller.run (finished_at) where status = 'skipped';

\i functions/run_signals.sql
create trigger run_signals after update of status on poller.run
    for each row when (old.status <> new.status and new.status in ('running', 'succeeded', 'failed'))
    execute function poller.run_signals();

\i functions/is_silent.sql

-- Who may work on runs may work on what is new of this revision and the one before: a fleet goes on with the rights that it has.
do $$
declare
    given record;
begin
    for given in
        select case a.grantee when 0 then 'public' else a.grantee::regrole::text end as role, a.privilege_type as privilege, t.name
          from pg_class as c
         cross join aclexplode(c.relacl) as a
         cross join unnest(array['gauge', 'row_total', 'run_total', 'watched', 'turn', 'signal', 'episode', 'notice', 'message',
                                 'message_total', 'silence']) as t (name)
         where c.oid = 'poller.run'::regclass and a.grantee <> c.relowner
           and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    loop
        execute 'grant ' || given.privilege || ' on poller.' || given.name || ' to ' || given.role;
    end loop;
end
$$;
