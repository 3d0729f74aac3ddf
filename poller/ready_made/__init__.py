"""The jobs that poller brings along."""
