"""Connections to Postgres, its statements, and the catalogue's view of users' tables."""
