-- Purpose  Tell whether a type has a hash function: it raises undefined_function if not. The element of an empty array is null,
--          whatever a domain says of nulls.
-- Locks    none.  Fence  none.  Index  none.
select hash_record_extended(row((array[]::{type}[])[1]), 0)
