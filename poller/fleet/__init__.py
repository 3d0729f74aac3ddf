"""The processes of `poller run`: supervisor and workers."""
