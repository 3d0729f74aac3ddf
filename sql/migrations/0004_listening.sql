-- Supervisors hear of what they would otherwise have to ask for every second: that a worker has come, whose death
-- they are to notice, and that a job was added, edited, paused or planned.

\i functions/tell_supervisors.sql

create trigger tell_supervisors after insert on poller.worker
   for each statement execute function poller.tell_supervisors();

create trigger tell_supervisors after insert or update or delete on poller.job
   for each statement execute function poller.tell_supervisors();
