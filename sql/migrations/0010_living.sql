-- A worker that has been declared dead claims nothing. It may not know of its death yet, and what it claimed would be swept at
-- once, and count as an attempt that never began.

\i functions/take.sql
