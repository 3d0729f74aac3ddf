-- Purpose  Have all workers look for work: one notification, without a payload, so that Postgres folds repeats. It is for rare
--          events; of rows that have arrived, poller.wake() tells one worker.
-- Locks    commits that notify are serialised by Postgres: once a batch at most, never once a row.
-- Fence    a hint: a worker that misses it polls.
-- Index    none.
notify poller
