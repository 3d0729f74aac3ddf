-- Purpose  Make the notices that are owed, and those of what still lasts: one a target. That it is over hear all that have heard of
--          it, and no others. An episode that nothing may be told of now (poller.is_silent) waits; one that ended meanwhile,
--          untold, is never told.
-- Locks    poller.episode: those rows, SKIP LOCKED; poller.notice: new rows.
-- Fence    the rows' locks, and the unique key of a notice: a number is told once to each target.
-- Index    episode_owed, episode_open; silence_until.
with owing as materialized (
    select e.id, coalesce(e.owed, 'reminder') as reason, poller.is_silent(e.subject_type, e.subject) as is_silent
      from poller.episode as e
     where (e.owed is not null
        or e.closed_at is null and e.notices > 0
           and e.notified_at < poller.now() - make_interval(secs => %(repeat)s::float8))
       and (not poller.is_silent(e.subject_type, e.subject) or e.closed_at is not null and e.notices = 0)
     order by e.id
       for update skip locked
), chosen as (
    select o.* from owing as o where not o.is_silent order by o.id limit %(most)s
), told as (
    update poller.episode as e
       set notices = e.notices + 1,
           notified_at = poller.now(),
           owed = case when c.reason = 'opened' and e.closed_at is not null and %(recovery)s then 'recovered' end
      from chosen as c
     where e.id = c.id
    returning e.id, e.targets, e.notices, c.reason, e.error, e.place
), dropped as (
    update poller.episode as e
       set owed = null
      from owing as o
     where e.id = o.id and o.is_silent and e.closed_at is not null and e.notices = 0
)
insert into poller.notice (episode_id, target, number, reason, error, place)
select t.id, g.target, t.notices, t.reason, t.error, t.place
  from told as t
 cross join lateral (
       select u.target from unnest(t.targets) as u (target) where t.reason <> 'recovered'
        union
       select n.target from poller.notice as n where n.episode_id = t.id and t.reason = 'recovered') as g
 order by t.id, g.target
    on conflict do nothing
