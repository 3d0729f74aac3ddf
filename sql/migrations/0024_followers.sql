-- Jobs that run after others keep to their overlap, jitter and window, and wait with one run while no worker has them.

\i functions/run_succeeded.sql
