-- Purpose  End the episodes of what a survey has not found any more. What is paused is not surveyed, and stays as it is.
-- Locks    poller.episode: those rows, SKIP LOCKED.
-- Fence    the row is open still: an episode ends once.
-- Index    episode_open; job's primary key.
with over as materialized (
    select e.id
      from poller.episode as e
     where e.closed_at is null
       and e.kind = any (%(kinds)s::text[])
       and (e.subject_type = 'handler' and e.subject = any (%(handlers)s::text[])
            or e.subject_type = 'job'
               and exists (select from poller.job as j
                            where j.name = e.subject and j.paused_at is null and j.function = any (%(functions)s::text[])))
       and (e.subject_type, e.subject, e.kind) not in (
             select f.subject_type, f.subject, f.kind
               from jsonb_to_recordset(%(found)s::jsonb) as f (subject_type text, subject text, kind text))
       for update of e skip locked
)
update poller.episode as e
   set closed_at = poller.now(),
       owed = case when e.notices = 0 then e.owed when %(recovery)s then 'recovered' end
  from over as o
 where e.id = o.id
