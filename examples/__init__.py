"""Small programs, each about one thing. The suite runs them all: tests/test_examples.py.

Each says in `TABLES` which tables it needs, and is run with `poller run --handlers examples.retries`, say.
"""
