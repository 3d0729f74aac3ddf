-- What people may do to a handler and a worker while the fleet runs; and what a handler is, for those who do not have its code.

-- `definition` is what its code said when it was registered last (poller/model/definition.py), and when that was. A pause without an
-- end is one until somebody resumes; one with an end is over when that has passed, by the database's clock.
alter table poller.handler
    add column definition jsonb,
    add column paused_at timestamptz,
    add column paused_until timestamptz,
    add column paused_by text;

-- A planner resumes a job whose pause has an end.
alter table poller.job add column paused_until timestamptz;
create index job_paused on poller.job (paused_until) where paused_until is not null;

-- Since when it is to end once it holds nothing; it claims nothing any more.
alter table poller.worker add column drain_at timestamptz;

-- What an order was given beside its target: the status that rows were moved to, how long a pause lasts.
alter table poller.action add column detail text;

-- Nothing is claimed for a handler that is paused, nor by a worker that is to end. Older workers call this, too.
\i functions/take.sql

-- Supervisors say in their logs who has paused a handler.
create trigger tell_supervisors after update of paused_at, paused_until
    on poller.handler for each statement execute function poller.tell_supervisors();
