"""Handlers and jobs that tell in which span they run, and fail with a row's value; child processes find them by name."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from tenacity import wait_fixed

from poller import Fail, Retry, Snooze, Transition, cron, fixed_rate, job

if TYPE_CHECKING:
    from poller import Context, Row

CANARY = "canary-4711"  # the value of a row, which nobody is to be told


def here() -> str:
    """Return the trace and the span that are current."""
    current = trace.get_current_span().get_span_context()
    return f"{current.trace_id:032x}-{current.span_id:016x}"


def work(row: Row) -> Transition:
    """Note the span in the row; fail as the row asks."""
    secret, kind = row.secret, row.kind
    if kind == "snooze":
        raise Snooze("1h")
    if kind == "retry":
        raise Retry("1h", secret)
    if kind == "fail":
        raise Fail(secret)
    if kind == "error":
        raise ValueError(secret)
    if kind == "dies":
        os._exit(3)
    if kind == "slow":
        threading.Event().wait()
    return Transition("normal", seen=here())


async def coroutine(row: Row) -> Transition:
    await asyncio.sleep(0)
    if row.kind == "slow":
        await asyncio.Event().wait()
    return work(row)


def work_until_told(row: Row, ctx: Context) -> None:
    """Return only once the time is up."""
    ctx.cancelled.wait()


def work_elsewhere(row: Row) -> Transition:
    return work(row)


def batch(rows: list[Row]) -> list[Any]:
    """Answer each row alone."""
    answers: list[Any] = []
    for row in rows:
        try:
            answers.append(work(row))
        except Exception as error:  # noqa: BLE001 - it is answered
            answers.append(error)
    return answers


async def coroutine_batch(rows: list[Row]) -> list[Any]:
    await asyncio.sleep(0)
    return batch(rows)


def batch_elsewhere(rows: list[Row]) -> list[Any]:
    return batch(rows)


def say() -> None:
    sys.stdout.write(f"{here()}\n")


@cron("0 3 * * *", tz="Europe/Berlin", attempts=2)
def nightly() -> None:
    say()


@cron("0 3 * * *")
async def nightly_awaiting() -> None:
    await asyncio.sleep(0)
    say()


@cron("0 3 * * *", executor="process")
def nightly_elsewhere() -> None:
    say()


@fixed_rate("90s", name="Every now & then", attempts=2, wait=wait_fixed(1), timeout="10m", jitter="3m")
def failing() -> None:
    raise ValueError(CANARY)


@fixed_rate("20s")
def too_often() -> None: ...


@job()
def by_hand(word: str) -> None:
    say()
    raise ValueError(word)
