"""The `__main__.py` of a bundle: let the carried runtime start the app.

It is compiled at each start, hence so short, and by any Python that reads zip archives, so that an old one gets a clear
line: hence the plain syntax.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("%s: needs Python 3.11 or newer, this is %d.%d" % (sys.argv[0], sys.version_info[0], sys.version_info[1]))

import _imp
import marshal
from _frozen_importlib_external import MAGIC_NUMBER


def carried(loader):
    """Give the names of `archimport.runtime.carried`, and the runtime's table: an empty one means from source."""
    name, path = "archimport.runtime.carried", "archimport/runtime/carried.py"
    try:
        raw = memoryview(loader.get_data("runtime/" + MAGIC_NUMBER.hex()))
    except OSError:  # no interpreter of this version was at hand when this was packed
        table, code = {}, compile(loader.get_data(path), path, "exec", dont_inherit=True)
    else:
        if _imp.source_hash(0, raw[8:]) != raw[:8]:
            sys.exit("%s: error: the runtime is damaged" % sys.argv[0].replace("\\", "/").split("/")[-1])
        table = marshal.loads(raw[8:])
        code = marshal.loads(table[name][1])
    names = {"__name__": name}
    exec(code, names)
    return names, table


if __name__ == "__main__":
    names, table = carried(__loader__)
    names["run"](__loader__.archive, table)
