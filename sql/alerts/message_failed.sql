-- Purpose  Write down that a message has not arrived, and when it is sent again; null for never: then it is counted, if it is of
--          an alert.
-- Locks    poller.message: its row; then poller.message_total: its target's.
-- Fence    its attempt: one that another sender has taken meanwhile is that one's.
-- Index    message's unique key; message_total's primary key.
with failed as (
    update poller.message
       set state = case when %(delay)s::float8 is null then 'given up' else 'waiting' end,
           next_at = poller.now() + make_interval(secs => coalesce(%(delay)s::float8, 0)),
           error = %(error)s
     where key = %(key)s and attempts = %(attempts)s and state = 'waiting'
    returning target, state, ping
)
insert into poller.message_total as t (target, outcome, messages)
select f.target, f.state, 1 from failed as f where f.ping is null and f.state = 'given up'
    on conflict (target, outcome) do update set messages = t.messages + 1
