"""Imports slow and rarely needed modules lazily: each is imported when one of its names is first used.

Type checkers, and the linter of the rooms, see the import itself, at the top as any other:

```python
if TYPE_CHECKING:
    from poller.db import migration
else:
    migration = lazy("poller.db.migration")
```

Names are taken from it as `migration.migrate(…)` where they are used; a name that is taken at the top would import it.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


def lazy(name: str) -> ModuleType:
    """Return a stand-in for a module, which is imported when one of its names is first used."""
    return _Lazy(name)


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)
