"""poller side by side with other job systems, each in its best documented configuration: `python -m benchmarks.peers`.

All drain jobs that do nothing, on the same server with its default durability, with the same number of worker
processes, in alternating rounds. The gate is that of `benchmarks.race`: workers have started, imported everything and
connected, and rest. The jobs come in by the peer's quickest bulk way, in one transaction that analyses its tables as
well; the clock starts when that has been committed, and stops when the peer's own tables show nothing unfinished.
Workers hear of the jobs as the peer has it.

A peer is a module here, which says what was chosen and why; what works inside a peer's environment is in `programs`.
Each environment is made on demand below `.installed/`, with whatever version the package index gives, and is used
again by the next run: deleting the folder is always safe, and the way to get newer versions.
"""
