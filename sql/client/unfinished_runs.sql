-- Purpose  Count a job's waiting and running runs, up to so many in all.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run_unfinished. The name is asked for as in newest_runs.sql.
select count(*) filter (where r.status = 'pending') as pending, count(*) filter (where r.status = 'running') as running
  from (select r.status
          from poller.run as r
         where r.job = any (array[%(job)s]) and r.status in ('pending', 'running')
         order by r.job, r.id
         limit %(most)s) as r
