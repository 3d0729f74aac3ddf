"""What the measured fleets work on: a module for each kind of handler, named to `benchmarks.fleet`."""
