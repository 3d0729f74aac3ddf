\i functions/take.sql
