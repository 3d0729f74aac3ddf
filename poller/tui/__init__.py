"""The live screen: what the fleet does now, a look a tick, and orders behind a question."""
