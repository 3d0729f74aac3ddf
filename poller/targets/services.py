"""Tells services that apprise knows: the module that imports it. Its log is shut, since it may hold addresses."""

from __future__ import annotations

import logging

import apprise


def knows(address: str) -> bool:
    """Tell whether an address is one of a service."""
    return bool(_service().add(address))


def tell(address: str, title: str, text: str) -> bool:
    """Send a text to an address; return whether the service has taken it."""
    service = _service()
    return bool(service.add(address) and service.notify(title=title, body=text))


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
