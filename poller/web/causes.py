"""Causes of trouble as a viewer is told of them: where no class is stored, an error's text stands for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.client.trouble import Group


def told(groups: Iterable[Group], may_see: bool) -> list[Group]:  # noqa: FBT001 - a filter of templates
    """Return groups as a viewer is told of them: without texts, who may not see values."""
    return [each if may_see or _is_class(each) else replace(each, error="", example="") for each in groups]


def _is_class(group: Group) -> bool:
    is_text = group.example.startswith(group.error) and not group.example.startswith(f"{group.error}: ")
    return group.error.isidentifier() and not is_text
