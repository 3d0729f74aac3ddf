-- Purpose  Take for each of some targets the next message to be sent, for as long as a sender may take. Pings of a job keep their
--          order: while one waits for another attempt, or another sender has it in hand, the later ones wait, too.
-- Locks    poller.message: those rows, SKIP LOCKED.
-- Fence    `attempts`: whoever sends a message later has counted it up, and what an earlier one reports changes nothing. The
--          head of a queue is chosen before it is locked: one that is locked is not passed over for the next.
-- Index    message_waiting.
with head as materialized (
    select m.id
      from unnest(%(targets)s::text[]) as t (target)
     cross join lateral (
           select w.id
             from poller.message as w
            where w.target = t.target and w.state = 'waiting' and (w.ping is not null or w.next_at <= poller.now())
              and (w.ping is null or w.at > poller.now() - interval '10 minutes')
            order by w.id
            limit 1) as m
), next as materialized (
    select m.id
      from head
      join poller.message as m using (id)
     where m.state = 'waiting' and m.next_at <= poller.now()
       for update of m skip locked
)
update poller.message as m
   set attempts = m.attempts + 1, next_at = poller.now() + make_interval(secs => %(seconds)s)
  from next
 where m.id = next.id
returning m.key, m.target, m.ping, m.payload, m.attempts, extract(epoch from poller.now() - m.at)::float8 as age
