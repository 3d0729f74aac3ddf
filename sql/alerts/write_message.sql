-- Purpose  Make a message of some notices. Its content and its key stay the same, however often it is sent.
-- Locks    poller.message: a new row; poller.notice: those rows.
-- Fence    the caller's lock of the target (hold_target.sql).
-- Index    notice's primary key.
with made as (
    insert into poller.message (target, payload) values (%(target)s, %(payload)s::jsonb)
    returning key
)
update poller.notice as n
   set message = made.key
  from made
 where n.id = any (%(notices)s::bigint[])
