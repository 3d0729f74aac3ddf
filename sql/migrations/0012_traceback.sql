-- Where a failed attempt was raised, kept with its event: what the log says of it is gone by tomorrow.
alter table poller.event add column traceback text;
