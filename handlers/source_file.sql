-- The table of the example. poller needs of it no more than a primary key and a status.
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
