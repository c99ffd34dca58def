"""Resolve requirements and install them into a folder: uv does it where it is present, else pip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from archimport.pack.target import THIS_PYTHON
from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archimport.pack.inputs import Inputs
    from archimport.pack.target import Target


_BOX = dict.fromkeys(map(ord, "×╰─▶├│"))  # noqa: RUF001 - what uv draws


def build_projects(projects: Sequence[Path], wheelhouse: Path) -> list[str]:
    """Build each project as a wheel; PackError if that fails."""
    wheels: list[str] = []
    settings = wheelhouse / "setuptools.cfg"
    settings.parent.mkdir()
    base = f".archimport.{os.urandom(6).hex()}"  # in the folder of each, as what they need may be built, too
    settings.write_text(f"[build]\nbuild_base = {base}\n", encoding="utf-8")
    for number, project in enumerate(projects):
        folder = wheelhouse / str(number)
        if uv := shutil.which("uv"):
            command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(project)]
        else:
            command = [*_pip("wheel"), "--no-deps", "--wheel-dir", str(folder), str(project)]
        # In the project's own folder `build` modules stay that are there no more, and get into wheels.
        try:
            _run(command, f"cannot build {str(project)!r}", DIST_EXTRA_CONFIG=str(settings))
        finally:
            shutil.rmtree(project / base, ignore_errors=True)
        wheels.extend(str(wheel) for wheel in folder.glob("*.whl"))
    return wheels


def install(inputs: Inputs, wheels: Sequence[str], target: Target, folder: Path) -> None:
    """Resolve requirements and `wheels` for a target and install all into `folder`; PackError if not.

    For another Python or platform than this one only wheels are taken: building would be done by this interpreter.
    """
    wanted = [*inputs.requirements, *wheels]
    for file in inputs.files:
        wanted += ["--requirement", str(file)]
    folder.mkdir(parents=True)
    if not wanted:
        return
    other = [] if target.python == THIS_PYTHON else ["--python-version", target.version]
    if uv := shutil.which("uv"):
        if target.interpreter is None and target.python.endswith("t") != THIS_PYTHON.endswith("t"):
            raise PackError(
                f"no Python {target.python} is here", hint="uv asks it what fits; pip, without uv, need not"
            )
        command = [uv, "pip", "install", "--quiet", "--python", target.interpreter or sys.executable]
        other += ["--python-platform", target.platform.uv] if target.platform else []
    else:
        command = [*_pip("install"), "--no-compile", "--no-warn-script-location"]
        other += ["--platform", target.platform.tag] if target.platform else []
        other += ["--abi", f"cp{target.python.replace('.', '')}"] if other and target.python.endswith("t") else []
    only = ["--only-binary", ":all:"] if other else []
    _run([*command, *other, *only, "--target", str(folder), *wanted], "cannot resolve the requirements")
    _refuse_editable(folder)


def _refuse_editable(folder: Path) -> None:
    """Raise PackError if an installation is only a reference to a project's folder (PEP 610)."""
    for note in folder.glob("*.dist-info/direct_url.json"):
        origin = json.loads(note.read_text("utf-8"))
        if origin.get("dir_info", {}).get("editable"):
            hint = "leave out its line -e, and give its folder to pack"
            raise PackError(f"{origin['url']!r} is to be installed as editable", hint=hint)


def _pip(verb: str) -> list[str]:
    if find_spec("pip") is None:
        raise PackError("neither uv nor pip is here to resolve requirements", hint="python -m ensurepip")
    return [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check", "--no-input"]


def _run(command: list[str], failure: str, **defaults: str) -> None:
    """Run a resolver, in an environment with these defaults; its last word on an error is ours."""
    given = {name: value for name, value in os.environ.items() if name not in ("PIP_TARGET", "PIP_USER")}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**defaults, **given},
    )
    if done.returncode:
        raise PackError(f"{failure}: {_last_error(done.stderr or done.stdout)}")


def _last_error(output: str) -> str:
    r"""Give one line that says why: pip's last `ERROR:`, or all that uv says, without its lines and arrows.

    >>> _last_error("ERROR: No matching distribution found for x\n\n[notice] A new release\n")
    'No matching distribution found for x'
    """
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    if errors:
        return errors[-1]
    return " ".join(output.translate(_BOX).split()) or "no reason given"
