"""The `__main__.py` of a bundle: let the carried runtime start the app.

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


def starter(loader):
    """Give the dictionary of `archimport.runtime.carried`, and the runtime's table: an empty one means from source."""
    name, path = "archimport.runtime.carried", "archimport/runtime/carried.py"
    try:
        raw = loader.get_data("runtime/" + MAGIC_NUMBER.hex())
    except OSError:  # no interpreter of this version was at hand when this was packed
        table, code = {}, compile(loader.get_data(path), path, "exec", dont_inherit=True)
    else:
        from _blake2 import blake2b

        if blake2b(raw[DIGEST_SIZE:], digest_size=DIGEST_SIZE).digest() != raw[:DIGEST_SIZE]:
            sys.exit("%s: error: the runtime is damaged" % os.path.basename(sys.argv[0]))
        table = marshal.loads(raw[DIGEST_SIZE:])
        code = marshal.loads(table[name][1])
    namespace = {"__name__": name}
    exec(code, namespace)
    return namespace, table


if __name__ == "__main__":
    path = sys.path[1:]
    sys.path[1:] = standard_library(path)  # the runtime is searched for nowhere else, whatever the environment says
    carried, table = starter(__loader__)
    carried["run"](__loader__.archive, table, path)
