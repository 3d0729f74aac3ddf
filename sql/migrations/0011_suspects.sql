-- Rows whose worker died under them are tried again together, in halves, until the one that kills is alone. So an attempt
-- remembers in how large a company its row was.

alter table poller.attempt
    alter column isolated drop default,
    alter column isolated type integer using case when isolated then 1 when crashes > 0 then 2 else 0 end,
    alter column isolated set default 0;
alter table poller.attempt rename column isolated to company;

-- Suspects are few, and those of the largest company come first.
create index attempt_suspect on poller.attempt (handler_id, company) where company > 0 and state <> 'parked';

-- How many rows a worker held when it was declared dead: those who sweep for it see fewer and fewer.
alter table poller.worker add column held integer;
