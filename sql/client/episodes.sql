-- Purpose  List what goes wrong, the newest first, then what was over within a day; each with its last notices.
-- Locks    none.
-- Fence    none: read-only.
-- Index    episode_open, episode_closed; notice's and message's unique keys, twenty of each.
with chosen as materialized (
    (select e.* from poller.episode as e where e.closed_at is null order by e.opened_at desc, e.id desc limit %(limit)s)
     union all
    (select e.* from poller.episode as e
      where e.closed_at > poller.now() - interval '1 day'
      order by e.closed_at desc, e.id desc
      limit %(limit)s)
)
select e.id, e.subject_type as type, e.subject, e.kind, e.opened_at, e.last_at, e.closed_at, e.times, e.error, e.place, e.detail,
       e.targets, poller.is_silent(e.subject_type, e.subject) as silent,
       coalesce((select jsonb_agg(to_jsonb(n) order by n.number desc, n.target)
          from (select o.number, o.target, o.reason, o.at, case when o.message is null then 'gathered' else coalesce(m.state, 'sent') end as state, m.sent_at,
                       coalesce(m.attempts, 0) as attempts, m.error
                  from poller.notice as o
                  left join poller.message as m on m.key = o.message
                 where o.episode_id = e.id
                 order by o.number desc, o.target
                 limit 20) as n), '[]') as notices
  from chosen as e
 order by e.closed_at is not null, coalesce(e.closed_at, e.opened_at) desc, e.id desc
 limit %(limit)s
