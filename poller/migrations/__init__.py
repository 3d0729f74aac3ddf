"""Revisions of poller's own schema; each executes a file of `sql/migrations/`."""
