"""Handlers, their arguments and their answers: pure, no database."""
