"""A soak: mixed load over three supervisors that are killed, stopped and cut off all the time, and an audit of it."""
