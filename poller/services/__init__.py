"""The background services of a worker or a supervisor; each runs in a loop."""
