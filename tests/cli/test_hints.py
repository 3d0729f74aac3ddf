"""What a command does about an error stands with the command line; the texts below it serve every face."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import poller
from poller.cli import command_table, hints
from poller.cli.hints import todo_of, with_hint
from poller.client.checks import Finding
from poller.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUSE = Path(poller.__file__).parent
BELOW = [path for path in HOUSE.rglob("*.py") if path.relative_to(HOUSE).parts[0] not in {"cli", "sql"}]
COMMAND = re.compile(rf"(?<!\ba )\bpoller (?:{'|'.join(command_table.COMMANDS)})\b(?!:)")
OPTION = re.compile(r"(?<![\w-])--[a-z-]+")
OF_POSTGRES = ("--auth=trust",)  # what initdb is given


def test_no_text_below_the_command_line_names_a_command_or_an_option_of_it() -> None:
    """A web page and a program show the same errors, log lines and findings."""
    options = set(_options())
    assert {"--database", "--handlers", "--only", "--limit"} <= options
    for path in BELOW:
        for text in _texts(path):
            assert not COMMAND.search(text), f"{path}: {text}"
            if text not in OF_POSTGRES:
                assert options.isdisjoint(OPTION.findall(text)), f"{path}: {text}"


def test_each_hint_is_for_a_reason_that_something_gives() -> None:
    """Else its command would never be told."""
    texts = {text for path in BELOW for text in _texts(path)}
    assert {*hints._HINTS, *hints._TODOS} <= texts


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DatabaseError("there is none", "no_schema"), "there is none; run: poller migrate"),
        (
            ConfigurationError("not yet", "no_run_begun", job="a b"),
            "not yet; run it now with: poller trigger 'a b'",
        ),
        (ConfigurationError("it says all"), "it says all"),
        (ConfigurationError("only {braces}", "something else"), "only {braces}"),
    ],
)
def test_an_error_is_told_with_the_command_that_mends_it(error: Any, line: str) -> None:
    """Where there is one."""
    assert with_hint(error) == line


def test_a_finding_is_told_with_the_command_that_mends_it() -> None:
    """Its name as a shell takes it."""
    found = Finding("warning", "old name", "3 runs wait", "remove the job", "orphan_runs")
    assert "poller jobs remove 'old name'" in todo_of(found)
    assert todo_of(Finding("warning", "a", "b", "set autovacuum = on")) == "set autovacuum = on"


def _texts(path: Path) -> Iterator[str]:
    """Give the texts of a file but for its docstrings, which people read who look inside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def _options() -> Iterator[str]:
    """Give the options of all commands, but for those that every program has."""
    waiting: list[Any] = [command_table.load(name) for name in command_table.COMMANDS]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        yield from (each for parameter in command.params for each in parameter.opts if each != "--help")
