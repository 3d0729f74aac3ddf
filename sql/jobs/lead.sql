-- Purpose  Be the supervisor that plans the jobs of some functions; the others look only for what it leaves.
-- Locks    poller.planner: one row.
-- Fence    none: it saves work, and whoever finds something overdue takes the lead.
-- Index    planner's primary key.
insert into poller.planner as p (functions, supervisor)
values (%(digest)s, %(supervisor)s)
    on conflict (functions) do update
   set supervisor = excluded.supervisor
 where p.supervisor <> excluded.supervisor
