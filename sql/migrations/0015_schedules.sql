-- What kind of schedule a job has, and how long its period or delay is: read once, where the text is written, rather than
-- by each statement that asks. The text stays what is written, by whatever version, and by hand.

\i functions/kind_of.sql

\i functions/every_of.sql

alter table poller.job
  add column kind  text generated always as (poller.kind_of(schedule)) stored,
  add column every interval generated always as (poller.every_of(schedule)) stored;

\i functions/run_moves.sql
