"""The table of commands: what the help says of each is what the command says, and nothing is imported for it."""

from __future__ import annotations

import re
import sys
from subprocess import run
from typing import Any

import pytest

from poller.cli import app, command_table
from poller.cli.command_table import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_is_the_first_sentence_of_its_help(name: str) -> None:
    """So that neither is changed without the other."""
    command: Any = command_table.load(name)
    assert command.name == name
    text = " ".join((command.help or "").partition("\n\n")[0].split())
    assert (text + " ").startswith(COMMANDS[name].line + " ")
    assert len(COMMANDS[name].line) <= 64, "the help would cut it off"


def test_the_help_names_values_and_no_types_of_python() -> None:
    """An argument as its usage does, an option by what it takes; of a range there are words."""
    table = app._command()
    leaves = [each for name in COMMANDS for each in app._leaves(table.commands[name])]
    assert len(leaves) > len(COMMANDS)
    for each in leaves:
        context = each.make_context(each.name, [], resilient_parsing=True)
        text = " ".join(each.get_help(context).split())
        assert not re.search(r"<(str|int|float|bool|path|list|.* range)\b|\[\[|\d{9}", text), each.name
        for parameter in each.params:
            if parameter.param_type_name == "argument":
                assert parameter.get_help_record(context)[0] == parameter.metavar


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_the_help_imports_no_command(arguments: list[str]) -> None:
    """And no driver."""
    code = (
        "import atexit, sys; sys.argv = ['poller', *sys.argv[1:]];"
        "names = {'psycopg', 'poller.client.client', 'poller.cli.run', 'poller.cli.status', 'poller.cli.next'};"
        "atexit.register(lambda: print(sorted(names & sys.modules.keys())));"
        "from poller.cli import main; main()"
    )
    ended = run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
