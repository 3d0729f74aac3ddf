-- The tables of the example. poller needs of the first no more than a primary key and a status.
create table if not exists source_file (
    path        text primary key,
    status      text not null default 'pending' check (status in ('pending', 'normal', 'rejected')),
    modified_at timestamptz,
    sha256      text,
    size        bigint,
    lines       integer,
    functions   integer,
    classes     integer,
    error       text
);

-- Keeps the claim quick however many rows are done: the key's columns, where the status is a handler's.
create index if not exists source_file_pending on source_file (path) where status = 'pending';

-- How many files had which status, and when (handlers/maintenance.py).
create table if not exists library_sample (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default now(),
    status  text not null,
    files   bigint not null
);
create index if not exists library_sample_at on library_sample (at);
