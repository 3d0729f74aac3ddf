-- Purpose  Bring back what a clock that ran ahead has written, once it was set back: a failure would not be new beside an episode
--          that ended in the future, nor its notice or message be due until then.
--          A receiver may ask for an hour: what waits for no longer is told apart by when it was made.
-- Locks    poller.episode, poller.notice, poller.message: those rows, SKIP LOCKED.
-- Fence    none: they are as if they had been written now.
-- Index    episode_open, episode_closed, notice_unsent, message_waiting.
with clock as materialized (
    select poller.now() as now, poller.now() + interval '1 minute' as ahead
), episodes as (
    update poller.episode as e
       set opened_at = least(e.opened_at, clock.now), last_at = least(e.last_at, clock.now),
           notified_at = case when e.notified_at is not null then least(e.notified_at, clock.now) end,
           closed_at = case when e.closed_at is not null then least(e.closed_at, clock.now) end
      from clock
     where e.id = any (array(select o.id from poller.episode as o
                              where o.closed_at is null and greatest(o.opened_at, o.last_at, o.notified_at) > clock.ahead
                                 or o.closed_at > clock.ahead
                                for update skip locked))
), notices as (
    update poller.notice as n
       set at = clock.now
      from clock
     where n.id = any (array(select u.id from poller.notice as u
                              where u.message is null and u.at > clock.ahead
                                for update skip locked))
)
update poller.message as m
   set at = least(m.at, clock.now), next_at = clock.now
  from clock
 where m.id = any (array(select w.id from poller.message as w
                          where w.state = 'waiting' and (w.at > clock.ahead or w.next_at > clock.ahead + interval '1 hour')
                            for update skip locked))
