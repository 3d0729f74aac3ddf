-- Purpose  Tell the workers that one has come or gone: each beats soon, and learns its turn and its share of the notifications.
-- Locks    commits that notify are serialised by Postgres.
-- Fence    a hint: a worker that misses it learns by its next beat.
-- Index    none.
notify poller, 'fleet'
