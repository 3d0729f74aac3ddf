"""Tells services that apprise knows: the module that imports it. Its log is shut, since it may hold addresses."""

from __future__ import annotations

import logging

import apprise

CHAT_CHARACTERS = 1000  # that a message may have at least, where several cost nothing


def knows(address: str) -> bool:
    """Tell whether an address is one of a service."""
    return bool(_service().add(address))


def tell(address: str, title: str, text: str) -> bool:
    """Send a text to an address; return whether the service has taken it."""
    service = _service()
    if not service.add(address):
        return False
    for each in service:
        if "overflow_mode" not in vars(each):  # the address does not say
            each.overflow_mode = _fitting(each.body_maxlen)
    # It is a text, not HTML or Markdown: names may hold what these would take for markup.
    return bool(service.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT))


def _fitting(most: int) -> apprise.OverflowMode:
    """Return what becomes of a text that is too long for a service: a chat gets parts, a telephone the first."""
    return apprise.OverflowMode.SPLIT if most >= CHAT_CHARACTERS else apprise.OverflowMode.TRUNCATE


def _service() -> apprise.Apprise:
    """Return an apprise without an address, a log and a memory on disk."""
    logging.getLogger("apprise").disabled = True
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs paths
    asset = apprise.AppriseAsset(
        app_id="poller",
        app_desc="poller",
        async_mode=False,
        secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    return apprise.Apprise(asset=asset)
