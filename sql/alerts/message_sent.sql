-- Purpose  Write down that a message has arrived, and count it, if it is of an alert.
-- Locks    poller.message: its row; then poller.message_total: its target's.
-- Fence    its attempt: one that another sender has taken meanwhile is that one's.
-- Index    message's unique key; message_total's primary key.
with ended as (
    update poller.message
       set state = 'sent', sent_at = poller.now(), error = null
     where key = %(key)s and attempts = %(attempts)s and state = 'waiting'
    returning target, state, ping
)
insert into poller.message_total as t (target, outcome, messages)
select e.target, e.state, 1 from ended as e where e.ping is null
    on conflict (target, outcome) do update set messages = t.messages + 1
