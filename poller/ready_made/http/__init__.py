"""HTTP jobs."""
