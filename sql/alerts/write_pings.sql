-- Purpose  Make a message of each ping, in the order in which runs have started and ended.
-- Locks    poller.message: new rows.
-- Fence    the transaction that has taken the signals: a ping is made once.
-- Index    none.
insert into poller.message (target, ping, payload)
select p.target, p.ping, jsonb_build_object('job', p.job, 'run', p.run)
  from rows from (jsonb_to_recordset(%(pings)s::jsonb) as (target text, ping text, job text, run bigint))
  with ordinality as p (target, ping, job, run, place)
 order by p.place
