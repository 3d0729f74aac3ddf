-- Purpose  Let no statement of the transaction take longer than there is time for it.
-- Locks    none.  Fence  none.  Index  none.
select set_config('statement_timeout', %(timeout)s, true)
