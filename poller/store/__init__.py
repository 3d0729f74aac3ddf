"""Every write that names a lease."""
