"""How an operator names rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tenacity import stop_after_attempt, stop_after_delay, stop_never

from poller.client.row_queries import Known
from poller.client.selector import NothingSelectedError, select
from poller.errors import ConfigurationError
from poller.model.retry_policy import policy
from poller.model.table_name import split_off_table
from tests.command_line import the_line

if TYPE_CHECKING:
    from tests.command_line import InProcess

KNOWN = [
    Known(1, "public.tenants", "pending", "status"),
    Known(2, "public.tenants", "a:b", "status"),
    Known(3, "public.tenants", "a", "status"),
    Known(4, "S p.Order", "1", "status"),
    Known(5, "public.letters", "", "status"),
    Known(6, "public.letters", "sent", "status"),
]


@pytest.mark.parametrize(
    ("selector", "handlers", "keys"),
    [
        ("all", (1, 2, 3, 4, 5, 6), None),
        ("tenants", (1, 2, 3), None),
        ("public.tenants", (1, 2, 3), None),
        ("tenants:", (1, 2, 3), None),
        ("tenants:pending", (1,), None),
        ("tenants:pending:5", (1,), ("5",)),
        ("tenants:5", (1, 2, 3), ("5",)),
        ("tenants:5:6", (1, 2, 3), ("5:6",)),
        ("tenants:a", (3,), None),
        ("tenants:a:b", (2,), None),
        ("tenants:a:c", (3,), ("c",)),
        ("tenants:a:b:c", (2,), ("c",)),
        ('tenants:[1,"x"]', (1, 2, 3), ('[1,"x"]', '[1, "x"]')),
        ('"S p"."Order":1', (4,), None),
        ("Order:7", (4,), ("7",)),
        ("letters", (5, 6), None),
        ("letters:", (5,), None),
        ("letters::7", (5,), ("7",)),
        ("letters:7", (5, 6), ("7",)),
    ],
)
def test_what_follows_the_table_is_a_status_if_there_is_such_a_handler(
    selector: str, handlers: tuple[int, ...], keys: tuple[str, ...] | None
) -> None:
    """The longest that fits, and a key otherwise."""
    found = select(selector, (), KNOWN)
    assert (found.handlers, found.keys) == (handlers, keys)


def test_further_keys_are_added_as_they_are() -> None:
    """Whatever they contain."""
    assert select("tenants:5", ("pending", "a:b"), KNOWN).keys == ("5", "pending", "a:b")


@pytest.mark.parametrize("selector", ["order", "shop.tenants", "S p.order", "tenant"])
def test_a_table_that_is_not_known_is_the_answer_no(selector: str) -> None:
    """Exit status 1, with the tables there are."""
    with pytest.raises(NothingSelectedError, match=r"public\.tenants") as caught:
        select(selector, (), KNOWN)
    assert caught.value.exit_status == 1


def test_a_table_that_is_no_name_is_wrong_use() -> None:
    """Exit status 2."""
    with pytest.raises(ConfigurationError):
        select("a.b.c.d", (), KNOWN)


def test_attempts_are_told_where_the_policy_sets_a_number() -> None:
    """However it is written."""

    def told(stop: object) -> int | None:
        return policy(attempts=None, wait=None, stop=stop, retry=None).attempts  # type: ignore[arg-type]

    assert told(None) == 5
    assert told(stop_after_attempt(7) | stop_after_delay(60)) == 7
    assert told(stop_after_delay(60)) is None
    assert told(stop_never) is None


@pytest.mark.parametrize(
    ("text", "table", "rest"),
    [
        ("task", "task", None),
        ("task:", "task", ""),
        ("task:pending:1", "task", "pending:1"),
        ("a.task:x", "a.task", "x"),
        ('"a:b"', '"a:b"', None),
        ('"a:b":pending', '"a:b"', "pending"),
        ('s."a:""b":pending:1', 's."a:""b"', "pending:1"),
        ('"s:"."a:b":pending:1', '"s:"."a:b"', "pending:1"),
        ('"s:".task:"1"', '"s:".task', '"1"'),
        ('task:"a:b"', "task", '"a:b"'),
        ('"a:b', '"a', "b"),
    ],
)
def test_a_colon_within_quotes_is_the_names_own(text: str, table: str, rest: str | None) -> None:
    """What is between the quotes is no end of the table's name."""
    assert split_off_table(text) == (table, rest)


def test_a_quote_that_is_never_closed_is_refused_in_one_line(here: InProcess) -> None:
    """By a selector as by a handler."""
    assert "table must be" in the_line(here.run("retry", '"a:b'))
