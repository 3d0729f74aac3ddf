-- Purpose  Count the trouble of handlers: rows that are parked; attempts of the last ten minutes, and how many of them failed; rows
--          that went to an on_failure since that was told last, within an hour; and the classes and places of the errors. Where no
--          history is kept, the counts of the minutes that have begun since stand for those rows, of the last ten.
-- Locks    none.
-- Fence    none: read-only; open_episodes.sql writes down what is new.
-- Index    attempt_latest, event_failed, tally's primary key; 10,001 rows of each at most.
with known as materialized (
    select k.id, k.name
      from unnest(%(handlers)s::integer[], %(names)s::text[]) as k (id, name)
      join poller.handler as h using (id)
     where h.paused_at is null or coalesce(h.paused_until <= poller.now(), false)
), minutes as materialized (
    select y.handler_id, y.minute, sum(y.moved)::bigint as moved, sum(y.failed + y.parked + y.retried)::bigint as failed,
           sum(y.failed)::bigint as ended
      from poller.tally as y
     where y.minute >= date_trunc('minute', poller.now() - interval '9 minutes')
     group by y.handler_id, y.minute
), recent as materialized (
    select m.handler_id, sum(m.moved)::bigint as moved, sum(m.failed)::bigint as failed from minutes as m group by m.handler_id
)
select k.id, k.name,
       (select count(*) from (select from poller.attempt as a where a.handler_id = k.id and a.state = 'parked' limit 10001) as c)
           as parked,
       array(select distinct concat_ws(' ', l.kind, l.place)
               from (select a.kind, a.place from poller.attempt as a
                      where a.handler_id = k.id and a.state = 'parked'
                      order by a.changed_at desc
                      limit 100) as l) as parked_signatures,
       coalesce(r.moved, 0) as moved, coalesce(r.failed, 0) as failed,
       coalesce(u.ended, f.count) as ended, coalesce(u.at, f.at) as ended_at, f.signatures as ended_signatures
  from known as k
  left join recent as r on r.handler_id = k.id
 cross join lateral (
       select (select e.last_at from poller.episode as e
                where e.subject_type = 'handler' and e.subject = k.name and e.kind = 'failed'
                order by e.last_at desc
                limit 1) as at) as told
 cross join lateral (
       select count(*) as count, max(l.at) as at,
              coalesce(array_agg(distinct concat_ws(' ', l.kind, l.place)), '{{}}') as signatures
         from (select v.at, v.kind, v.place
                 from poller.event as v
                where v.handler_id = k.id and v.verdict = 'failed'
                  and v.at > greatest(poller.now() - interval '1 hour', told.at)
                order by v.at desc
                limit 10001) as l) as f
  left join lateral (
       select sum(m.ended)::bigint as ended, least(poller.now(), max(m.minute) + interval '1 minute') as at
         from minutes as m
        where m.handler_id = k.id and m.ended > 0 and m.minute > coalesce(told.at, '-infinity')) as u on f.count = 0
