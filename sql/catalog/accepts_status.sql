-- Purpose  Tell whether a status column would take a value: its type's own input, then its CHECKs.
-- Locks    none.  Fence  none.  Index  none.
-- Raises what Postgres raises when the type refuses the text (22P02 for an unknown label, say).
select t.{column}::text = {value} as kept, {checks} as allowed
  from (select {value}::{type} as {column}) as t
