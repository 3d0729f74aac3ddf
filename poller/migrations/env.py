"""Alembic's environment: the connection is handed in; without one the statements are printed."""

from typing import Any

from alembic import context

from poller.db.search_path import OWN

OPTIONS: dict[str, Any] = {"version_table_schema": "poller", "include_schemas": True}

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.execute(f"set local search_path = {OWN}")
        context.execute("create schema if not exists poller")
        context.run_migrations()
else:
    context.configure(connection=connection, **OPTIONS)
    context.run_migrations()
