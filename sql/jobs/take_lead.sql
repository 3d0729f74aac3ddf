-- Purpose  Take the lead: this supervisor plans the jobs of some functions; the others plan only what is overdue.
-- Locks    poller.planner: one row.
-- Fence    none: it saves work, and a supervisor that finds something overdue takes the lead.
-- Index    planner's primary key.
insert into poller.planner as p (functions, supervisor)
values (%(digest)s, %(supervisor)s)
    on conflict (functions) do update
   set supervisor = excluded.supervisor
 where p.supervisor <> excluded.supervisor
