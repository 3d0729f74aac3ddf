-- Purpose  Look which hosts have lost a worker that nobody had told to stop.
-- Locks    none.
-- Fence    none: read-only; open_episodes.sql writes down what is new.
-- Index    none: one row a worker; those that died are kept for a day.
select w.host, count(*) as workers, max(w.died_at) as at
  from poller.worker as w
 where w.died_at > poller.now() - interval '1 hour' and w.stopping_at is null
   and w.died_at > coalesce(
         (select e.last_at from poller.episode as e
           where e.subject_type = 'host' and e.subject = w.host and e.kind = 'gone'
           order by e.last_at desc
           limit 1), '-infinity')
 group by w.host
