"""Answers that all viewers share for a moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from poller.errors import DatabaseError
from poller.web.shared import MOST, Shared


def test_who_asks_while_another_does_gets_its_answer() -> None:
    """The question is asked once, however many there are; of another key it is another."""
    shared, asked, began, goes_on = Shared(), list[int](), threading.Event(), threading.Event()

    def question() -> str:
        asked.append(1)
        began.set()
        assert goes_on.wait(10)
        return "answer"

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(shared.ask, "key", question) for _ in range(8)]
        assert began.wait(10)
        assert shared.ask("other", lambda: "at once") == "at once"
        goes_on.set()
        assert [each.result() for each in answers] == ["answer"] * 8
    assert len(asked) == 1


def test_an_answer_lasts_a_moment_and_an_error_is_nobody_elses() -> None:
    """After an act all is asked anew."""
    shared, numbers = Shared(), iter(range(10))
    with pytest.raises(ZeroDivisionError):
        shared.ask("key", lambda: 1 // 0)
    assert shared.ask("key", lambda: next(numbers), 60) == 0
    assert shared.ask("key", lambda: next(numbers), 60) == 0
    shared.forget()
    assert shared.ask("key", lambda: next(numbers), 0) == 1
    assert shared.ask("key", lambda: next(numbers), 0) == 2


def test_that_the_database_does_not_answer_is_told_to_those_who_waited() -> None:
    """They do not each ask anew; a fault of the desk's own is not remembered."""
    shared, asked = Shared(), list[int]()

    def question() -> None:
        asked.append(1)
        raise DatabaseError

    for _ in range(3):
        with pytest.raises(DatabaseError):
            shared.ask("key", question)
    assert len(asked) == 1
    shared.forget()
    assert shared.ask("key", lambda: "answer") == "answer"


def test_answers_do_not_pile_up() -> None:
    """Whatever is asked for."""
    shared = Shared()
    for number in range(MOST * 2):
        shared.ask(number, lambda: None)
    assert len(shared._answers) == MOST
