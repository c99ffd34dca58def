"""What lets the Python of an environment install the hook when it starts."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from archimport.runtime.errors import ConfigError

#: Python reads the first until 3.14; from 3.15 (PEP 829) the second, which then silences the first. They are named to
#: come after the file of an installation for development, `archimport.pth`. An environment that archimport was taken
#: from starts without a word.
_FILES = {
    "archimport_enabled.pth": (
        'import sys; exec("try:\\n import archimport\\nexcept ImportError: pass\\nelse: archimport.install()")\n'
    ),
    "archimport_enabled.start": "archimport:install\n",
}


def enable() -> Path:
    """Write the files, and give the folder; ConfigError outside a virtual environment, or where that is read-only."""
    folder = _folder()
    try:
        for name, text in _FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot write {str(exc.filename)!r}: {exc.strerror}") from exc
    return folder


def disable() -> Path:
    """Take the files away, if they are there, and give the folder; ConfigError as `enable`."""
    folder = _folder()
    try:
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
    except OSError as exc:
        raise ConfigError(f"cannot delete {str(exc.filename)!r}: {exc.strerror}") from exc
    return folder


def _folder() -> Path:
    if sys.prefix == sys.base_prefix:
        raise ConfigError(f"{sys.executable!r} is in no virtual environment", hint="python -m venv makes one")
    return Path(sysconfig.get_path("purelib"))
