-- Purpose  Write something that changes nothing, and wait for its commit as any write does: for the disk, and for standbys
--          where they are asked for. The sweeper takes the time of it before it believes that heartbeats have lapsed.
-- Locks    none.
-- Fence    none.
-- Index    none: a message in the WAL, which no program reads.
select pg_logical_emit_message(true, 'poller', '')
