-- Purpose  Wake the workers that wait: one notification, without a payload, so that Postgres folds repeats.
-- Locks    commits that notify are serialised by Postgres: once a batch at most, never once a row.
-- Fence    a hint: a worker that misses it polls.
-- Index    none.
notify poller
