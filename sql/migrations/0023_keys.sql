-- A program notices that the primary key of a table has changed before it changes a row by the old one.
\i functions/refuse_key.sql
