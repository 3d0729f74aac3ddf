-- Cheaper to write. A lease ends for a key once, so that the two are the key of what happened: no sequence is asked for
-- each row. And keys are compared byte by byte, whatever the database's language: nobody reads them in order.

alter table poller.history drop constraint history_pkey;
alter table poller.history drop column id;
alter table poller.history alter column key type text collate "C";
alter table poller.history add primary key (handler_id, key, lease);
alter table poller.attempt alter column key type text collate "C";
