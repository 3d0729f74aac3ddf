"""The face: what users import, and the options that they give, which are written once."""

from __future__ import annotations

import dataclasses
import doctest
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import poller
from poller import ConfigurationError, PollerError, handler
from poller.cli.command_table import COMMANDS
from poller.jobs.options import CheckedOptions, CommonOptions, JobOptions, RunOptions
from poller.model.handler import Handler
from poller.model.options import AttemptOptions, HandlerOptions
from poller.model.retry_policy import POLICY
from poller.telemetry import metrics

TOP = Path(__file__).parents[1]
DOCS = [f"docs/{each.name}" for each in (TOP / "docs").glob("*.md")]
ALIASES = {
    "Duration",
    "History",
    "Misfire",
    "Overlap",
    "Redirects",
}  # of types: they have no docstring of their own


def table_of(page: str) -> str:
    """Return the first column of the tables of a page."""
    lines = (TOP / page).read_text(encoding="utf-8").splitlines()
    return "\n".join(line.split("|")[1] for line in lines if line.startswith("| `"))


@pytest.mark.parametrize(
    ("given", "kept", "page"),
    [
        ((AttemptOptions, HandlerOptions), Handler, "README.md"),
        ((AttemptOptions, CommonOptions, RunOptions, JobOptions), CheckedOptions, "docs/jobs.md"),
    ],
    ids=["handler", "job"],
)
def test_an_option_is_typed_told_kept_and_documented(
    given: tuple[type[Any], ...], kept: type[Any], page: str
) -> None:
    """By its type, in the docstring beside that, in the object that is made of it, and in the documents."""
    for each in given:
        assert set(re.findall(r"^ {8}(\w+): ", each.__doc__ or "", re.MULTILINE)) == set(
            each.__annotations__
        ) - {name for base in given[: given.index(each)] for name in base.__annotations__}
    names = given[-1].__optional_keys__
    assert names - {each.name for each in dataclasses.fields(kept)} <= set(POLICY)
    assert not [name for name in names if f"`{name}`" not in table_of(page)]


@pytest.mark.parametrize(
    ("names", "pages"),
    [
        ([f"poller {each}\\b" for each in COMMANDS], ["README.md", *DOCS]),
        ([f"`{each}`" for each in vars(poller.Client) if not each.startswith("_")], ["docs/operations.md"]),
        ([f"`{each}`" for each in metrics.BY_NAME], ["docs/operations.md"]),
    ],
    ids=["commands", "client", "metrics"],
)
def test_what_users_can_ask_for_is_documented(names: list[str], pages: list[str]) -> None:
    """By name: each command, each method of the client, each metric."""
    text = "".join((TOP / each).read_text(encoding="utf-8") for each in pages)
    assert [each for each in names if not re.search(each, text)] == []


def test_a_misspelt_option_is_refused_where_it_is_written() -> None:
    """With those that there are."""
    with pytest.raises(
        ConfigurationError, match=r"test_face.py:\d+: handler\(\) got an unexpected .*'batches'; known:"
    ):
        handler("task", status="a", to="b", batches=5)  # type: ignore[call-arg]


def test_the_errors_that_users_meet_are_on_the_face() -> None:
    """Each of poller's own, so that `except poller.SettleError` needs no look inside."""
    errors = {each.__name__ for each in PollerError.__subclasses__() if each.__module__ == "poller.errors"}
    assert errors < set(poller.__all__)
    assert sorted(poller.__all__) == poller.__all__


def test_handlers_and_jobs_need_no_typing_extensions() -> None:
    """Type checkers know it; where poller runs, it may be missing."""
    asked = "import sys, poller; print('typing_extensions' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", asked], text=True) == "False\n"


@pytest.mark.parametrize("name", sorted({*poller.__all__} - ALIASES))
def test_each_public_name_has_an_example_in_its_docstring(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is executed as it stands, with the face at hand."""
    names = {each: getattr(poller, each) for each in poller.__all__}
    text = getattr(poller, name).__doc__
    example = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert example.examples
    with capsys.disabled():
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        told: list[str] = []
        runner.run(example, out=told.append)
    assert not told, "".join(told)
