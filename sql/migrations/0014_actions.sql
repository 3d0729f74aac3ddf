-- What people have ordered: who, when, by which face, and what it reached.

create table poller.action (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default poller.now(),
    actor    text not null,
    via      text not null,
    action   text not null,
    target   text not null,
    filter   text[],
    affected bigint not null
);
comment on table poller.action is 'Orders that were carried out. Rows named by their keys have those in filter.';
create index action_at on poller.action (at);
