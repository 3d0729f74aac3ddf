-- Purpose  Give up pings that are too old: they would say something false. None is left that no program has an address for.
-- Locks    poller.message: those rows, SKIP LOCKED.
-- Fence    the row waits still.
-- Index    message_waiting.
update poller.message
   set state = 'given up', error = coalesce(error, 'no program here knows the address')
 where id = any (array(select m.id from poller.message as m
                        where m.state = 'waiting' and m.ping is not null
                          and m.at < poller.now() - make_interval(secs => %(seconds)s)
                        limit 1000
                          for update skip locked))
