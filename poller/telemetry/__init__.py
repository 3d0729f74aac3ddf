"""Events, the log, and texts that are safe to show to people."""
