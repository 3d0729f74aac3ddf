"""What is done with rows: `poller run` finds every handler in this package and its submodules."""
