\i functions/refuse_status.sql

\i functions/digest.sql

alter table poller.attempt drop constraint attempt_pkey;
create unique index attempt_key on poller.attempt (handler_id, poller.digest(key));
-- Of an event nothing depends on that key, which a row is purged by: a hash will do.
alter table poller.event drop constraint event_pkey;
alter table poller.event add column digest bigint generated always as (hashtextextended(key, 0)) stored;
alter table poller.event add primary key (handler_id, digest, lease);
