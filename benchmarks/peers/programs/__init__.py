"""What runs inside the peers' environments, as scripts of their own: nothing of ours can be imported there.

Each is called with what to do, the server's URL, and what that needs: `install` makes the peer's tables, `work` is one
worker process, until SIGTERM, and `put` puts in so many jobs, says that it has committed them by one line, and waits
for the end of its input, so that its own end costs nothing while the clock runs.
"""
