-- Trouble by its cause: the error's class and the last place in the user's code stand apart from its text. And what is looked
-- at by people is found by an index, however much there is of it: the newest trouble first, and the newest runs.

alter table poller.attempt add column kind text, add column place text, add column traceback text;
alter table poller.event add column kind text, add column place text;
alter table poller.run add column kind text, add column place text;
comment on column poller.attempt.kind is 'The class of the error.';
comment on column poller.attempt.place is 'The last frame in the user''s own code: file.py:12.';

update poller.attempt
   set kind = substring(error from '^(\w+)(?:: | \([^()]*:\d+\)$)'),
       place = substring(error from ' \(([^()]*:\d+)\)$')
 where error is not null;
update poller.run
   set kind = substring(error from '^(\w+)(?:: | \([^()]*:\d+\)$)'),
       place = substring(error from ' \(([^()]*:\d+)\)$')
 where error is not null and status in ('pending', 'running', 'failed');

-- The newest trouble of a handler, in each state; a row has one place in it.
create index attempt_latest on poller.attempt (handler_id, state, changed_at, poller.digest(key));
-- Rows that went to an on_failure.
create index event_failed on poller.event (handler_id, at, poller.digest(key)) where verdict = 'failed';

create index run_newest on poller.run (planned_at, id);
drop index poller.run_latest;
create index run_function on poller.run (function, planned_at, id);
create index run_failed on poller.run (function, finished_at, id) where status = 'failed';
