"""The desk's own files, each under an address that has a hash of it: browsers may keep it for good."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from poller.web.packing import packed

FOLDER = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript"}


class Asset(NamedTuple):
    """A file: its bytes, these compressed, and the hash that its address has."""

    data: bytes
    packed: bytes
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """Return the files by their names."""
    files = [each for each in FOLDER.iterdir() if each.suffix in KINDS]
    return {each.name: _asset(each.read_bytes()) for each in files}


def address(name: str) -> str:
    """Return the path of a file, within the desk."""
    return f"/static/{assets()[name].digest}/{name}"


def _asset(data: bytes) -> Asset:
    return Asset(data, packed(data), hashlib.sha256(data).hexdigest()[:16])
