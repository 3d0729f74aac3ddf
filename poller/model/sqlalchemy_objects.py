"""Recognises SQLAlchemy's objects without importing it: a program that has one has imported it."""

from __future__ import annotations

import sys
from typing import Any


def is_mapped(table: object) -> bool:
    """Tell whether it is a mapped class."""
    return isinstance(table, type) and hasattr(table, "__mapper__")


def is_expression(value: object) -> bool:
    """Tell whether it is an attribute of a mapped class, a column, or an expression of them."""
    sqlalchemy: Any = sys.modules.get("sqlalchemy")
    return sqlalchemy is not None and (
        isinstance(value, sqlalchemy.ClauseElement) or hasattr(value, "__clause_element__")
    )
