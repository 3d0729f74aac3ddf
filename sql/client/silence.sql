-- Purpose  Keep quiet for a while about the jobs, handlers and hosts that a name or a pattern stands for, and say which those are.
-- Locks    poller.silence: a new row.
-- Fence    none: it holds from its commit on.
-- Index    one row a job, a handler and a worker; episode_open.
with made as (
    insert into poller.silence (pattern, reason, actor, until)
    values (%(name)s, %(reason)s, current_user || coalesce(' (' || %(person)s::text || ')', ''),
            poller.now() + make_interval(secs => %(seconds)s))
    returning "like", until
), known as (
    select j.name, j.name as short, false as is_handler from poller.job as j
     union
    select h.table_name || ':' || h.status, regexp_replace(h.table_name, '^public\.', '') || ':' || h.status, true
      from poller.handler as h
     where h.table_name <> 'poller.run'
     union
    select w.host, w.host, false from poller.worker as w
     union
    select e.subject, e.subject, e.subject_type = 'handler' from poller.episode as e where e.closed_at is null
)
select m.until,
       array(select distinct k.name from known as k
              where k.name like m."like" or k.short like m."like"
                 or k.is_handler and (k.name like m."like" || ':%%' or k.short like m."like" || ':%%')
              order by k.name
              limit 1001) as subjects
  from made as m
