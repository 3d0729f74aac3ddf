"""Runs handlers: on threads, on an event loop, in processes, in transactions."""
