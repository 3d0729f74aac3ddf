-- Purpose  Hold that the table's primary key is the one that a statement was made for, so that each key means one row: a part of
--          those that claim, lock or change rows by their keys.
-- Locks    none.
-- Fence    the statement's own lock of the table: a change of the key waits for it, or is seen here.
-- Index    the catalogue's own.
-- Raises   what poller.refuse_key does. It is asked once for a statement, before any row.
(select coalesce((select true
                    from pg_index as i
                   where i.indrelid = {regclass}::regclass and i.indisprimary and i.indkey::text = {key_numbers}
                     and not exists (select from pg_inherits as h
                                      where h.inhparent = i.indrelid and not {is_partitioned})),
                 poller.refuse_key({regclass}::regclass)))
