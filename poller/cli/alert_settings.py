"""Reads the section `alerts` of the settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.lazy import lazy

if TYPE_CHECKING:
    import typer

    from poller.targets import settings
    from poller.targets.settings import AlertSettings
else:
    settings = lazy("poller.targets.settings")


def alert_settings(context: typer.Context) -> AlertSettings | None:
    """Return what the settings file says of alerts; None if it says nothing.

    Raises:
        ConfigurationError: a key or value cannot work; the text does not hold the value.
    """
    section = context.obj.sections.get("alerts")
    return None if section is None else settings.parse(section, context.obj.file or "")
