-- Purpose  Count the unfinished runs of some jobs.
-- Locks    none.
-- Fence    the locks of the jobs' rows, taken by the previous statement: the planner before has committed.
-- Index    run_unfinished.
select r.job,
       count(*) filter (where r.status = 'pending') as pending,
       count(*) filter (where r.status = 'running') as running
  from poller.run as r
 where r.job = any (%(jobs)s::text[]) and r.status in ('pending', 'running')
 group by r.job
