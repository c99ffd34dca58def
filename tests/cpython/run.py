"""Run some of the interpreter's own tests against our finder and loaders: `run.py MODE MODULE...`.

The last line is a JSON object: how many tests ran, which were bad (by class and method) and why, and how much was asked
of our stores. Modes: `mirror` puts our finder in the place of the one for folders, `types` lets the names of the standard
library's classes lead to ours too, and `machinery` does the latter alone, for tests that make finders and loaders.
"""

from __future__ import annotations

# Tests empty `sys.path` for a while; what is asked for then has to be here.
import __future__  # noqa: F401

import importlib.abc
import importlib.metadata
import importlib.readers
import importlib.resources  # noqa: F401
import json
import linecache  # noqa: F401
import sys
import tempfile  # noqa: F401
import tokenize  # noqa: F401
import unittest.mock
import zipfile  # noqa: F401

from cpython.machinery import stand_in, substituted
from cpython.mirror import Mirror, asked

import archimport


def main(mode: str, names: list[str]) -> None:
    """Run the tests of some modules, and report."""
    suite = unittest.TestLoader().loadTestsFromNames(names)
    if mode == "machinery":
        suite = substituted(suite)
    else:
        archimport.install()
        Mirror().install()
        if mode == "types":
            stand_in()
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0).run(suite)
    bad = {
        ".".join(test.id().split(" ")[0].split(".")[-2:]): text.strip().splitlines()[-1]
        for test, text in [*result.errors, *result.failures]
    }
    print(json.dumps({"run": result.testsRun, "bad": bad, "asked": asked.total()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
