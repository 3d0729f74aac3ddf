"""The ways in of a desk that is served by itself: each is the `authorize` of `poller.web.desk`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import stat
import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import msgspec

from poller.errors import ConfigurationError
from poller.web import passwords
from poller.web.proxies import is_among
from poller.web.rights import NONE, USUAL, Right, Viewer, rights_of
from poller.web.sessions import Sessions
from poller.web.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from starlette.requests import Request

    from poller.web.proxies import Network

LINK_LASTS = 60.0  # seconds
LONGEST = 1000  # characters of a name or password


@dataclass(frozen=True, slots=True)
class Open:
    """Lets every request in, as the same viewer; for a desk that only this host's users can reach."""

    viewer: Viewer

    def __call__(self, request: Request) -> Viewer:  # noqa: ARG002 - as `authorize` is called
        """Return the viewer."""
        return self.viewer


class OneTimeLink:
    """Lets in the browser that opens the link which the terminal shows: once, within a minute; from then on by a cookie.

    Whoever comes without one has a new link shown in the terminal, if the last one is not good any more.
    """

    def __init__(
        self, viewer: Viewer, say: Callable[[str], object], clock: Callable[[], float] = monotonic
    ) -> None:
        self._viewer = viewer
        self._say = say
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._until = float("-inf")
        self.sessions = Sessions(clock)

    def __call__(self, request: Request) -> Viewer | None:
        """Return who has come in before."""
        return self.sessions.viewer(request)

    def show(self) -> None:
        """Show a link in the terminal, unless the last one is still valid."""
        with self._lock:
            if self._clock() < self._until:
                return
            self._token, self._until = secrets.token_urlsafe(32), self._clock() + LINK_LASTS
            self._say(self._token)

    def redeem(self, token: str) -> Viewer | None:
        """Return the viewer whom a token lets in; each token works once."""
        with self._lock:
            if self._clock() >= self._until or not _is_same(token, self._token):
                return None
            self._until = float("-inf")
            return self._viewer


@dataclass(frozen=True, slots=True)
class Header:
    """Takes the viewer's name from a header, which only the named proxies may set."""

    name: str
    proxies: tuple[Network, ...]
    rights: Right = USUAL

    def __call__(self, request: Request) -> Viewer | None:
        """Return the viewer that the header names; a viewer without rights if the header is not from a named proxy."""
        if not self.trusts(request):
            return Viewer("", NONE)
        found = request.headers.getlist(self.name)
        is_name = len(found) == 1 and found[0].strip() and found[0].isprintable() and len(found[0]) <= LONGEST
        return Viewer(found[0].strip(), self.rights) if is_name else None

    def trusts(self, request: Request) -> bool:
        """Tell whether a request comes from a proxy that is named."""
        return is_among(address_of(request), self.proxies)


@dataclass(frozen=True, slots=True)
class _Account:
    """A line of the file: a user's hash, or a token's."""

    viewer: Viewer
    secret: str


@dataclass(slots=True)
class Accounts:
    """Users with passwords, and programs with tokens, of a file."""

    users: Mapping[str, _Account]
    tokens: tuple[_Account, ...]
    sessions: Sessions = field(default_factory=Sessions)
    tries: Tries = field(default_factory=Tries)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    nobody: str = field(default_factory=lambda: passwords.hashed(secrets.token_urlsafe(9)))

    def __call__(self, request: Request) -> Viewer | None:
        """Return the viewer, by a cookie, a bearer token, or a name and password (`curl -u`)."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        match kind.lower():
            case "":
                return self.sessions.viewer(request)
            case "bearer":
                return self._bearer(given.strip())
            case "basic":
                return self.login(*_pair(given), address_of(request))
        return None

    def login(self, name: str, password: str, address: str) -> Viewer | None:
        """Return the viewer with a name and a password; after five wrong tries an address is refused for a minute."""
        with self.one_at_a_time:  # so that a try counts for the next only once it is known to be wrong
            return self._login(name, password, address)

    def _login(self, name: str, password: str, address: str) -> Viewer | None:
        if not self.tries.may(address) or max(len(name), len(password)) > LONGEST:
            return None
        account = self.users.get(name)
        # A name that is unknown takes as long as one that is known.
        is_right = passwords.is_right(password, account.secret if account else self.nobody)
        if account is None or not is_right:
            return None
        self.tries.forget(address)
        return account.viewer

    def _bearer(self, token: str) -> Viewer | None:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        found = [each.viewer for each in self.tokens if _is_same(digest, each.secret)]
        return found[0] if found else None


def address_of(request: Request) -> str:
    """Return the address of the peer; headers that name another address are ignored."""
    return request.client.host if request.client else ""


class _User(msgspec.Struct, forbid_unknown_fields=True):
    password: Annotated[str, msgspec.Meta(pattern=f"^{passwords.FORM}$")]
    rights: str


class _Token(msgspec.Struct, forbid_unknown_fields=True):
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    rights: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    users: dict[str, _User] = {}
    tokens: dict[str, _Token] = {}


def accounts(path: Path) -> Accounts:
    """Read the file of users and tokens.

    Raises:
        ConfigurationError: it cannot be read, others than its owner can read it, or it makes no sense. What stands in it
            is not quoted.
    """
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            msg = f"{path} can be read by others; run: chmod 600 {path}"
            raise ConfigurationError(msg)
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
        users = {
            name: _Account(Viewer(name, rights_of(each.rights)), each.password)
            for name, each in file.users.items()
        }
        tokens = [
            _Account(Viewer(name, rights_of(each.rights)), each.sha256) for name, each in file.tokens.items()
        ]
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None
    except (ValueError, msgspec.DecodeError) as error:
        msg = f"{path} does not list users and tokens as docs/desk.md describes: {error}"
        raise ConfigurationError(msg) from None
    if not all(passwords.is_line(each.secret) for each in users.values()):
        msg = f"{path} has a password that cannot be checked; hash it again with: python -m poller.web.passwords"
        raise ConfigurationError(msg)
    if not users and not tokens:
        msg = f"{path} names neither users nor tokens"
        raise ConfigurationError(msg)
    return Accounts(users, tuple(tokens))


def _pair(given: str) -> tuple[str, str]:
    """Return the name and the password of basic authentication; two empty ones, if it is none."""
    try:
        name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _is_same(given: str, known: str) -> bool:
    """Compare in a time that does not tell how much is the same."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), known.encode())
