-- Purpose  Find texts that a status column takes for the same status: 'new' and 'New' of a citext, say.
-- Locks    none.  Fence  none.  Index  none.
select one.label, other.label
  from unnest(%(statuses)s::text[]) with ordinality as one (label, place)
  join unnest(%(statuses)s::text[]) with ordinality as other (label, place) on one.place < other.place
 where {is_equal}
