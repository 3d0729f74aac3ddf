"""The running example: `make run` has it index Python's own standard library."""
