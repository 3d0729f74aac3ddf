-- Purpose  Tell whether a type has a hash function: it raises undefined_function if not.
-- Locks    none.  Fence  none.  Index  none.
select hash_record_extended(row(null::{type}), 0)
