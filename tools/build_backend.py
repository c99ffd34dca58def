"""flit's build backend, and a wheel with what debugpy looks for beside archimport (`pydevd_plugins`)."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

from flit_core import buildapi  # type: ignore[import-not-found]  # it is there while something is built
from flit_core.buildapi import *  # type: ignore[import-not-found]  # noqa: F403 - the other hooks (PEP 517, PEP 660)

BESIDE = ("pydevd_plugins/extensions/pydevd_plugin_archimport.py",)


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, object] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the wheel and return its name."""
    name: str = buildapi.build_wheel(wheel_directory, config_settings, metadata_directory)
    _add(Path(wheel_directory, name), {path: Path(path).read_bytes() for path in BESIDE})
    return name


def _add(wheel: Path, files: dict[str, bytes]) -> None:
    """Add files to a wheel and to its RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    lines = "".join(f"{path},{_digest(content)},{len(content)}\n" for path, content in files.items())
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            added = zipfile.ZipInfo(path, members[0][0].date_time)
            added.external_attr = members[0][0].external_attr
            archive.writestr(added, content, zipfile.ZIP_DEFLATED)
        for info, content in members:
            is_record = info.filename.endswith(".dist-info/RECORD")
            archive.writestr(info, lines.encode() + content if is_record else content)


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
