-- Limits over the fleet. How many rows of a handler are in flight is seen from poller.claim; how many were
-- begun within a window of time is kept here, for handlers that have a rate.

create table poller.start (
    handler_id  integer not null references poller.handler,
    at          timestamptz not null default poller.now(),
    rows        integer not null
);
create index start_at on poller.start (handler_id, at);
