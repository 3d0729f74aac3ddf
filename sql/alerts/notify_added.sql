-- Purpose  Make a notice for each target that has been told nothing of an episode which has been told to others, or to nobody.
-- Locks    poller.episode: those rows, SKIP LOCKED; poller.notice: new rows.
-- Fence    the rows' locks, and the unique key of a notice.
-- Index    episode_open; notice's unique key; silence_until.
with added as materialized (
    select e.*
      from poller.episode as e
     where e.closed_at is null and e.notices > 0
       and exists (select from unnest(e.targets) as g (target)
                    where not exists (select from poller.notice as n where n.episode_id = e.id and n.target = g.target))
       and not poller.is_silent(e.subject_type, e.subject)
     order by e.id
     limit %(most)s
       for update of e skip locked
)
insert into poller.notice (episode_id, target, number, reason, error, place)
select e.id, g.target, e.notices, 'opened', e.error, e.place
  from added as e
 cross join unnest(e.targets) as g (target)
 where not exists (select from poller.notice as n where n.episode_id = e.id and n.target = g.target)
 order by e.id, g.target
    on conflict do nothing
