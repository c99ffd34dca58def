"""Pack applications: inputs become members, and a writer makes a bundle or a zip of them.

The module itself can be called: `archimport.pack(["requests", "./src"], "app.arc", entry="app.cli:main")`. It has the
name of its function, and either may be imported first.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archimport.pack.build import Packed


class _CallableModule(types.ModuleType):
    """A module that is called as its `build.pack` (data model, "Customizing module attribute access")."""

    def __call__(self, *args: object, **options: object) -> Packed:
        from archimport.pack.build import pack  # deferred: needs the extra `pack`

        return pack(*args, **options)  # type: ignore[arg-type]  # checked by the function itself


sys.modules[__name__].__class__ = _CallableModule
