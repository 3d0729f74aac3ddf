"""Renders templates. All that is put into one is escaped, and a name that is missing is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).parent / "templates"

_environment = jinja2.Environment(
    autoescape=True,
    auto_reload=False,
    loader=jinja2.FileSystemLoader(TEMPLATES),
    lstrip_blocks=True,
    trim_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def rendered(template: str, **values: Any) -> str:
    """Return a page, or a part of one."""
    return _environment.get_template(template).render(values)
