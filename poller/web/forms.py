"""Reads forms: of a bounded size, each field once, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

LONGEST = 2**18  # bytes: a thousand keys of common length
FIELDS = 2000
TOO_LARGE, WRONG_KIND, WRONG = 413, 415, 400


class Form(dict[str, str]):
    """The last value of each field; `all` has those that may stand there several times."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for each, value in self._pairs if each == name]


async def form_of(request: Request) -> Form:
    """Read the form of a request. The value of a field whose name ends with `*` is percent-encoded within.

    Raises:
        HTTPException: it is too large, or none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(WRONG_KIND, "a form is sent as application/x-www-form-urlencoded")
    body = await body_of(request, LONGEST)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=FIELDS,
        )
        form = Form([_plain(name, value) for name, value in pairs])
    except ValueError:
        raise HTTPException(WRONG, "the form cannot be read") from None
    return form


def _plain(name: str, value: str) -> tuple[str, str]:
    """Return a field as it was meant.

    Raises:
        ValueError: it is not a text that the database could have.
    """
    if name.endswith("*"):
        name, value = name[:-1], unquote(value, errors="strict")
    if "\0" in value:
        msg = "it has a NUL"
        raise ValueError(msg)
    return name, value


async def body_of(request: Request, longest: int) -> bytes:
    """Read the body of a request; one that is too long is not read to its end.

    Raises:
        HTTPException: it is too long.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > longest:
            raise HTTPException(TOO_LARGE, "the request is too long")
    return bytes(body)
