-- Purpose  Return after which jobs those run that a program's jobs run after, and so on, as far as other programs
--          declare them.
-- Locks    none.
-- Fence    none: read once at start-up.
-- Index    job's primary key.
with recursive needed (name) as (
    select unnest(%(names)s::text[])
     union
    select unnest(j.after)
      from needed as n join poller.job as j using (name)
     where j.name <> all (%(known)s::text[])
)
select j.name, j.after
  from needed as n join poller.job as j using (name)
 where j.after <> '{{}}' and j.name <> all (%(known)s::text[])
