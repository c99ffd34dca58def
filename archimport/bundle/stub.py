"""The `__main__.py` of a bundle: make the carried runtime importable, and start the app.

It runs on any Python that reads zip archives, so that an old one gets a clear line; hence the plain syntax.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("%s: needs Python 3.11 or newer, this is %d.%d" % (sys.argv[0], sys.version_info[0], sys.version_info[1]))

import marshal
import os  # frozen into the interpreter, or loaded already: no path is searched for it
from _frozen_importlib_external import MAGIC_NUMBER

DIGEST_SIZE = 32


def standard_library(path):
    """Give what of a path is the interpreter's own."""
    library = os.path.dirname(os.__file__)
    dynamic = os.path.join(sys.base_exec_prefix, sys.platlibdir, os.path.basename(library), "lib-dynload")
    archive = os.path.join(os.path.dirname(library), "python%d%d.zip" % sys.version_info[:2])
    own = {library, archive, dynamic, os.path.join(library, "lib-dynload"), os.path.join(sys.base_prefix, "DLLs")}
    return [entry for entry in path if entry in own]


def install_runtime(loader):
    """Make the runtime that was marshalled for this Python importable, checked before it is read, if there is one."""
    try:
        raw = loader.get_data("runtime/" + MAGIC_NUMBER.hex())
    except OSError:  # no interpreter of this version was at hand when this was packed
        return
    from _blake2 import blake2b

    if blake2b(raw[DIGEST_SIZE:], digest_size=DIGEST_SIZE).digest() != raw[:DIGEST_SIZE]:
        sys.exit("%s: error: the runtime is damaged" % os.path.basename(sys.argv[0]))
    table = marshal.loads(raw[DIGEST_SIZE:])
    finder = {"__name__": "archimport.runtime.carried"}  # what is here goes when the app becomes `__main__`
    exec(table[finder["__name__"]][1], finder)
    sys.meta_path.insert(0, finder["CarriedRuntime"](loader.archive, table))


def load_runtime(loader, name):
    """Import the runtime, marshalled for this Python or else from source, and give its module `name`."""
    install_runtime(loader)
    import archimport.bundle.store  # noqa: F401 - what opens the bundle is not to be looked for in it

    return __import__("archimport.runtime." + name, fromlist=[name])


def drop_other_runtime():
    """Forget the archimport of the environment, if that has installed its hook: the bundle's own is to run."""
    hook = sys.modules.get("archimport.runtime.hook")
    if hook is not None:
        hook.uninstall()
    for name in [name for name in sys.modules if name.partition(".")[0] == "archimport"]:
        del sys.modules[name]


if __name__ == "__main__":
    path = sys.path[1:]
    drop_other_runtime()
    sys.path[1:] = standard_library(path)  # the runtime is searched for nowhere else, whatever the environment says
    load_runtime(__loader__, "app").run_bundle(__loader__.archive, path)
