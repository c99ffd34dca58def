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
    carried = stub["marshalled_runtime"](loader)
    if carried:
        sys.meta_path.insert(0, carried)
    import archimport.bundle.store  # noqa: F401 - what opens the bundle is not to be looked for in it
    from archimport.runtime.hook import install

    install()
    if carried:  # the rest of the runtime comes after the app's own modules
        sys.meta_path.remove(carried)
        sys.meta_path.append(carried)
    spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if entry != loader.archive])
    if spec is not None and spec.loader is not None:
        _load(spec)


if __name__ == "sitecustomize":
    boot(__loader__)
