"""All that runs in a program, from its start (carried) to its end (garbage): standard library and a decoder.

Every bundle carries it. Lowest first: errors, names, store; what reads containers (file, codec, index); what importlib
asks for (loader, finder, resources, metadata), and how it gets real files (unit, extract, memory, places); what leads
from a path entry to a store (location, registry, opening); what a program calls (mount, app). Only `hook` and `entries`
change how `sys` finds modules of stores, and `carried` how it finds those of this package; `unpacked` has it look again
where files have come, and `namespace` teaches the loader of namespace packages. The layers stand in full in
pyproject.toml, where a check reads them.
"""
