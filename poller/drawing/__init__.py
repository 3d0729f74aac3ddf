"""Pictures of state machines: where statuses and moves stand, and the same in the words of other programs."""
