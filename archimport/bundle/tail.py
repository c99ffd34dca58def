"""The tail of a bundle: the small zip by which a stock interpreter starts it."""

from __future__ import annotations

import importlib.resources
import io
import os
import zipfile
from typing import TYPE_CHECKING

from archimport.runtime.magic import TAIL_COMMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = (1980, 1, 1, 0, 0, 0)
#: What starts things, by its name in the tail; what is carried: the folder `runtime`, and what reads bundles.
_STUBS = {"__main__.py": "stub.py", "sitecustomize.py": "site_stub.py"}
_FIRST = "archimport/runtime/carried.py"
_CARRIED = (
    "__init__.py",
    *(f"bundle/{name}.py" for name in ("__init__", "format", "index", "store", "tables", "verify")),
)


def carried_sources() -> dict[str, bytes]:
    """Give the source of every module that a bundle carries, by its path from the folder above `archimport`."""
    root = importlib.resources.files("archimport")
    runtime = (f"runtime/{file.name}" for file in root.joinpath("runtime").iterdir() if file.name.endswith(".py"))
    return {f"archimport/{path}": root.joinpath(path).read_bytes() for path in sorted((*_CARRIED, *runtime))}


def tail_files(runtimes: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the files of the tail; `runtimes` are tables of carried modules, behind their hashes, by magic of pycs."""
    bundle = importlib.resources.files("archimport.bundle")
    stubs = {name: bundle.joinpath(file).read_bytes() for name, file in _STUBS.items()}
    tables = {f"runtime/{magic}": table for magic, table in sorted(runtimes.items())}
    return {**stubs, **tables, **carried_sources()}


def write_tail(files: Mapping[str, bytes], offset: int) -> bytes:
    """Give the zip of `files`, with offsets as they are once `offset` bytes stand before it.

    The sources are deflated, but for what is read before the runtime is there: nothing is imported to inflate it.
    """
    stream = _Shifted(offset)
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            is_read_first = not name.startswith("archimport/") or name == _FIRST
            info.compress_type = zipfile.ZIP_STORED if is_read_first else zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
        archive.comment = TAIL_COMMENT
    return stream.getvalue()


class _Shifted(io.BytesIO):
    """A stream that says it begins at an offset."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self._offset = offset

    def tell(self) -> int:
        return super().tell() + self._offset

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        return super().seek(position - self._offset if whence == os.SEEK_SET else position, whence) + self._offset
