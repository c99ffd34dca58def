"""The `sitecustomize.py` of a bundle: a Python with the bundle on its PYTHONPATH imports from it.

That is how a program in a bundle lets `python -m` of its own modules run. A `sitecustomize` of the environment follows.
"""

import sys
from _frozen_importlib import _load
from _frozen_importlib_external import PathFinder


def boot(loader):
    """Import the runtime from the archive, install its hook, and go on with what the environment customizes."""
    stub = {"__name__": "stub"}
    exec(loader.get_code("__main__"), stub)
    names, table = stub["carried"](loader)
    names["install_hook"](loader.archive, table)
    spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if entry != loader.archive])
    if spec is not None and spec.loader is not None:
        _load(spec)


if __name__ == "sitecustomize":
    boot(__loader__)
