"""Import the module of an entry point in a fresh interpreter; run by path, without archimport.

Arguments: a file for the report, the entry point, the arguments to run it with in JSON (null: it is not to run), and
the folders to put on `sys.path`. The report is a JSON object: `error`, a line or null, and `imported`, the files below
the folders in the order in which imports asked for them.
"""

import importlib.machinery
import importlib.util
import json
import os
import runpy
import sys


class Recorder:
    """Note the order in which modules are asked for; `sys.modules` has that in which they are done."""

    def __init__(self):
        self.names = {}

    def find_spec(self, fullname, path=None, target=None):
        """Find nothing."""
        self.names.setdefault(fullname)


def look_up(entry):
    """Import `MODULE` of `MODULE:FUNC` and look up the function, or only find `MODULE`, which is not to run."""
    name, _, function = entry.partition(":")
    if function:
        value = importlib.import_module(name)
        for attribute in function.split("."):
            value = getattr(value, attribute)
        if not callable(value):
            raise TypeError(f"{entry} is not callable")
    elif name != "__main__":
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r} that can be run")


def run(entry, arguments):
    """Run the app as its bundle will; that it ends is no error, with whatever status; an exception is one."""
    sys.argv[1:] = arguments
    name, _, function = entry.partition(":")
    try:
        if function:
            value = sys.modules[name]
            for attribute in function.split("."):
                value = getattr(value, attribute)
            value()
        elif name == "__main__":
            spec = importlib.machinery.PathFinder.find_spec(name)
            runpy.run_path(spec.origin, run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit:
        return


def imported_files(names, folders):
    """Give the files of the named modules, relative to the folder they are in."""
    for name in names:
        try:
            origin = sys.modules[name].__spec__.origin
        except Exception:  # noqa: BLE001, S112 - what stands in sys.modules may be anything
            continue
        for folder in folders:
            if isinstance(origin, str) and origin.startswith(folder + os.sep):
                yield os.path.relpath(origin, folder).replace(os.sep, "/")


def main():
    """Write the report, and end without what the imported modules would do at exit."""
    report, entry, arguments, *folders = sys.argv[1:]
    sys.path[:1] = folders
    sys.argv = [entry]
    recorder = Recorder()
    sys.meta_path.insert(0, recorder)
    error = None
    try:
        look_up(entry)
        if json.loads(arguments) is not None:
            run(entry, json.loads(arguments))
    except BaseException as exc:  # noqa: BLE001 - also SystemExit: whatever it is, it is reported
        error = f"{type(exc).__name__}: {exc}"
    result = {"error": error, "imported": list(imported_files(list(recorder.names), folders))}
    with open(f"{report}.part", "w", encoding="utf-8", errors="replace") as file:
        json.dump(result, file)
    os.rename(f"{report}.part", report)
    os._exit(0)


if __name__ == "__main__":
    main()
