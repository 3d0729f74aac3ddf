-- Leases say which status their rows show: who takes them back may know another `during`, or none.

-- Null where rows show the status that their handler takes them from; or where an older version has claimed them.
alter table poller.claim add column during text;
