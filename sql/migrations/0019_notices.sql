-- A notification of rows that have arrived says of which table or job, and in which transaction: so all workers that hear it
-- know which one of them looks.

\i functions/wake.sql

\i functions/run_succeeded.sql
