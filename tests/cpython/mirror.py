"""The file system as a store, in the place of the interpreter's own finder: what its tests test then is ours."""

from __future__ import annotations

import os
import sys
from collections import Counter

from archimport import Entry, Store, StoreUnavailable
from archimport.runtime.finder import StoreFinder

#: How often something was asked of a store.
asked: Counter[str] = Counter()
#: The interpreter's own modules stay with its own finder, but those that its tests are about.
_OWN = os.path.dirname(os.__file__)
_TESTS = os.path.join(_OWN, "test")


class DirectoryStore(Store):
    """A folder, read anew at each lookup. Every path that modules see is the real one."""

    writable = True

    def __init__(self, location: str) -> None:
        self.location = location

    def lookup(self, path: str) -> Entry | None:
        asked["lookup"] += 1
        full = os.path.join(self.location, path)
        try:
            status = os.stat(full)
        except (OSError, ValueError):
            return None
        return Entry(path, is_dir=os.path.isdir(full), size=status.st_size, mtime=int(status.st_mtime))

    def list(self, folder: str) -> list[str]:
        asked["list"] += 1
        try:
            return sorted(os.listdir(os.path.join(self.location, folder)))
        except OSError:
            return []

    def read(self, entry: Entry) -> bytes:
        asked["read"] += 1
        try:
            with open(os.path.join(self.location, entry.path), "rb") as file:
                return file.read()
        except OSError as exc:
            raise StoreUnavailable(f"cannot read {entry.path!r}: {exc.strerror}") from exc

    def write(self, path: str, data: bytes) -> None:
        """Write as importlib does: with the rights that the source has."""
        full = os.path.join(self.location, path)
        folder, name = os.path.split(full)
        source = os.path.join(os.path.dirname(folder), f"{name.partition('.')[0]}.py")
        mode = os.stat(source).st_mode | 0o200 if os.path.exists(source) else 0o666
        try:
            os.makedirs(folder, exist_ok=True)
            with open(os.open(f"{full}.new", os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode & 0o666), "wb") as file:
                file.write(data)
            os.replace(f"{full}.new", full)
        except OSError as exc:
            raise StoreUnavailable(f"cannot write {path!r}: {exc.strerror}") from exc


class Mirror:
    """The path hook for folders."""

    def __call__(self, entry: str) -> StoreFinder:
        path = os.path.abspath(entry)
        if not os.path.isdir(path) or (path.startswith(_OWN) and not path.startswith(_TESTS)):
            raise ImportError("not ours", path=entry)
        return StoreFinder(DirectoryStore(path), "", entry)

    def install(self) -> None:
        """Stand before the interpreter's hook for folders."""
        hooks = [getattr(hook, "__qualname__", "") for hook in sys.path_hooks]
        sys.path_hooks.insert(next(at for at, name in enumerate(hooks) if name.startswith("FileFinder")), self)
        sys.path_importer_cache.clear()
