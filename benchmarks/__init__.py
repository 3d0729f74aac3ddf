"""How fast poller is, beside what the machine allows. `python -m benchmarks` measures and prints it.

The bar is a minimal hand-written program that does the same durable work on the same server: it leases batches,
calls a function for each row, and settles (`by_hand`). What is measured of ours is the fleet as `poller run` starts
it, with all defaults (`fleet`). Both drain the same table, one after the other, round after round: the machine's
noise then strikes both, and the ratio within a round means more than any figure.
"""
