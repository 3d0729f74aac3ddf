-- Purpose  Try whether the column still knows the statuses that a handler may move its rows to: an enum's label may have been
--          renamed. A part of a rehearsal.
-- Locks    none.  Fence  none.  Index  none.
select count(s.label::{status_type}) from unnest(%(statuses)s::text[]) as s (label)
