"""Remedies for a client's refusals, in terms of commands and options, which the client itself does not know."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poller.client.checks import Finding
    from poller.errors import PollerError

_MIGRATE = "run: poller migrate"
_HINTS = {
    "no_run_begun": "run it now with: poller trigger {job!r}",
    "nothing_recorded": "look further back with: --back 30d",
    "no_such_run": "list those that are kept: poller runs",
    "runs": "see: poller runs JOB",
    "is_job": "see: poller jobs, and poller runs {job!r}",
    "declared": "remove it there, or pause it: poller pause",
    "schedule_of_name": "or remove the schedule: poller jobs remove {name!r}",
    "no_purge": "give --column and --older-than",
    "no_schema": _MIGRATE,
    "old_schema": _MIGRATE,
    "may_not_migrate": "run poller migrate as a role that may create schemas here",
    "no_database": "give --database URL, or start it: poller db start",
    "no_embedded": "or give --database URL",
    "unreachable": "check --database, and that the server is running",
    "refused": "check --database",
    "wrong_login": "check the role and the password of --database",
    "no_such_database": "create it, or check --database",
    "too_many_connections": "close some, or raise max_connections",
    "not_yet": "try again in a moment",
    "no_package": "name yours with --handlers, or write a first one with: poller init",
    "nothing_registered": "write one, or run: poller init",
    "went_elsewhere": "poller failures lists them; put them back with: poller move {shown!r} {to!r}",
    "key_or_status": (
        "for the row: poller move {table!r} {to!r} {key!r}; for the others: poller move {table!r} {to!r} --from {key!r}"
    ),
    "none_of_name": "give --only or --except one of these",
}
_TODOS = {
    "no_schema": _MIGRATE,
    "old_schema": _MIGRATE,
    "ran_ahead": "restart poller run: it plans them from now",
    "orphan_runs": "cancel them: poller jobs remove {where}; or run the program that declares the job",
}


def with_hint(error: PollerError) -> str:
    """Return an error's text, with the command or option that remedies it, if there is one."""
    if error.reason == "several_purges":
        return _several_purges(**error.data)
    if error.reason == "several_columns":
        return f"{error} {_one_of(**error.data)}"
    hint = _HINTS.get(error.reason)
    return str(error) if hint is None else f"{error}; {hint.format(**error.data)}"


def _one_of(columns: list[str]) -> str:
    return "with " + " or ".join(f"--column {shlex.quote(each)}" for each in columns)


def todo_of(finding: Finding) -> str:
    """Return the remedy for a finding: a command, where there is one."""
    todo = _TODOS.get(finding.reason)
    return finding.todo if todo is None else todo.format(where=shlex.quote(finding.where))


def _several_purges(table: str, where: str, purges: list[tuple[str, str]]) -> str:
    names = ", ".join(f"{name!r} (--column {column})" for name, column in purges)
    return f"{where} declares several purges of {table}: {names}; give --column and --older-than"
