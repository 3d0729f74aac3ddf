"""Handlers, jobs and middleware that child processes find by their names; what they have seen they write to a file."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import poller
from poller import Attempt, Row, Run, fixed_rate

if TYPE_CHECKING:
    from collections.abc import Generator

    from poller.model.context import Context

SEEN = "POLLER_TEST_SEEN"  # the variable of the environment that names the file


def see(*words: object) -> None:
    with Path(os.environ[SEEN]).open("a", encoding="utf-8") as file:
        file.write(" ".join(map(str, words)) + "\n")


def seen() -> list[str]:
    return Path(os.environ[SEEN]).read_text(encoding="utf-8").splitlines()


def say(attempt: Attempt | None) -> str:
    if attempt is None:
        return "nothing"
    return f"{attempt.table}:{attempt.status} {attempt.key} {attempt.keys} {attempt.attempt} {attempt.job} {attempt.run}"


@poller.around
def outer(attempt: Attempt, rows: list[Any]) -> Generator[None, Any]:
    see("outer begins", say(attempt), len(rows))
    try:
        answer = yield
    except BaseException as error:
        see("outer failed", type(error).__name__)
        raise
    see("outer ends", answer)


@poller.around
def inner(attempt: Attempt) -> Generator[None, Any]:
    see("inner begins", say(poller.current()) == say(attempt))
    yield
    see("inner ends")


@poller.around
def swallowing(_: Attempt) -> Generator[None, Any]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - it is what is tested
        see("swallowed", type(error).__name__)


@poller.around
def refusing(_: Attempt) -> Generator[None, Any]:
    raise LookupError("refused before")
    yield


@poller.around
def refusing_after(_: Attempt) -> Generator[None, Any]:
    yield
    raise LookupError("refused after")


def work(row: Row) -> None:
    see("handler", say(poller.current()))
    if row.id == 2:
        raise ValueError("two")


def work_in_context(row: Row, ctx: Context) -> None:
    work(row)
    ctx.logger.warning("a word")


async def coroutine(row: Row) -> None:
    await asyncio.sleep(0)
    work(row)


def batch(rows: list[Row]) -> None:
    see("handler", say(poller.current()))
    logging.getLogger("shop").warning("%d rows", len(rows))


async def coroutine_batch(rows: list[Row]) -> None:
    await asyncio.sleep(0)
    batch(rows)


def work_elsewhere(row: Row) -> None:
    work(row)


def batch_elsewhere(rows: list[Row]) -> None:
    batch(rows)


@fixed_rate("1h")
def every_hour(run: Run) -> str | None:
    see("handler", say(poller.current()), run.id)
    return None


@fixed_rate("1h")
async def every_hour_awaiting() -> None:
    await asyncio.sleep(0)
    see("handler", say(poller.current()))


@fixed_rate("1h", executor="process")
def every_hour_elsewhere() -> None:
    see("handler", say(poller.current()), os.getpid())
