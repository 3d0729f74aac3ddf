-- Purpose  Take the signals that runs have left, the first ones first; of failures, whether they make so many in a row.
-- Locks    poller.signal: those rows, SKIP LOCKED: each is taken once, in the transaction that writes down what it means.
-- Fence    the rows' locks, until that transaction ends; if it fails, they are there again.
-- Index    signal's primary key; run's unique key, as many rows as are to be in a row.
with taken as (
    delete from poller.signal as s
     where s.id = any (array(select i.id from poller.signal as i
                              where i.function = any (%(functions)s::text[])
                              order by i.id
                              limit %(most)s
                                for update skip locked))
    returning s.*
)
select t.event, t.run_id, t.job, t.function, t.planned_at, t.error, t.place, t.at,
       t.event = 'fail' and coalesce(l.is_row, false) as counts
  from taken as t
  left join lateral (
       select bool_and(e.status = 'failed') and count(*) >= %(after)s as is_row
         from (select r.status from poller.run as r
                where r.job = t.job and r.planned_at <= t.planned_at and r.status in ('failed', 'succeeded')
                order by r.planned_at desc
                limit %(after)s) as e) as l on t.event = 'fail' and %(after)s > 1
 order by t.id
