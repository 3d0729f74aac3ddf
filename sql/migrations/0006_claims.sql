-- A lease lives for moments: to compress its keys costs more than to write them.

alter table poller.claim alter column keys set storage external;
