"""Hashes passwords by scrypt. `python -m poller.web.passwords` asks for one, and prints it hashed."""

from __future__ import annotations

import base64
import binascii
import getpass
import hashlib
import hmac
import re
import secrets
import threading

LONG = 32  # bytes of a hash
COST, BLOCK, PARALLEL = 2**14, 8, 1  # 16 MiB, some 50 ms
FORM = r"scrypt\$(\d{4,6})\$(\d{1,2})\$(\d)\$([A-Za-z0-9+/=]{16,64})\$([A-Za-z0-9+/=]{44})"
_one_at_a_time = threading.Lock()  # so that guesses cost one processor, and 16 MiB, at the most


def hashed(password: str) -> str:
    """Return a password's line for the settings."""
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${_text(salt)}${_text(made)}"


def is_line(line: str) -> bool:
    """Tell whether a password can be held against a line."""
    found = re.fullmatch(FORM, line)
    if found is None:
        return False
    cost, block, parallel = map(int, found.groups()[:3])
    try:
        lengths = [len(base64.b64decode(each, validate=True)) for each in found.groups()[3:]]
    except binascii.Error:
        return False
    return cost & (cost - 1) == 0 and block > 0 and parallel > 0 and lengths[1] == LONG


def is_right(password: str, line: str) -> bool:
    """Tell whether a password is the one that was hashed, in a time that does not tell how much of it is."""
    found = re.fullmatch(FORM, line)
    if found is None:
        return False
    cost, block, parallel = map(int, found.groups()[:3])
    with _one_at_a_time:
        made = _scrypt(password, base64.b64decode(found[4]), cost, block, parallel)
    return hmac.compare_digest(made, base64.b64decode(found[5]))


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    given = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        given, salt=salt, n=cost, r=block, p=parallel, maxmem=256 * cost * block, dklen=LONG
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    print(hashed(getpass.getpass()))  # noqa: T201 - for the settings
