"""Compile in the interpreter that the bytecode is for; run by path, without archimport.

Reads frames of path and source on stdin, each a 4-byte length and the bytes. `pyc` writes a frame for each source: an
unchecked hash-based pyc (PEP 552), or nothing where it does not compile. `table` writes two: the version, and the magic
with the marshalled table of all modules for the stub of a bundle, each marshalled too.
"""

import __future__

import _imp
import ast
import importlib.util
import marshal
import sys
import warnings


def frames(stream):
    """Give the frames of a stream."""
    while header := stream.read(4):
        yield stream.read(int.from_bytes(header, "little"))


def write_frame(data):
    """Write a frame."""
    sys.stdout.buffer.write(len(data).to_bytes(4, "little") + data)


def pyc(path, source):
    """Give the pyc of a source, or nothing if it does not compile: some packages carry such files on purpose."""
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return b""
    key = int.from_bytes(importlib.util.MAGIC_NUMBER, "little")
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + _imp.source_hash(key, source) + marshal.dumps(code)


def module(path):
    """Give the module that a path is, and whether it is a package."""
    parts = path.removesuffix(".py").split("/")
    return (".".join(parts[:-1]), True) if parts[-1] == "__init__" else (".".join(parts), False)


def carried(path, source):
    """Give the marshalled code of a module of the runtime; it imports nothing to say how its annotations are meant."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if getattr(node, "module", None) != "__future__"]
    flags = __future__.annotations.compiler_flag
    return marshal.dumps(compile(tree, path, "exec", flags, dont_inherit=True, optimize=2))


def main():
    """Do what the first argument says."""
    warnings.simplefilter("ignore")
    stream = frames(sys.stdin.buffer)
    sources = [(path.decode(), next(stream)) for path in stream]
    if sys.argv[1] == "pyc":
        for path, source in sources:
            write_frame(pyc(path, source))
        return
    table = {}
    for path, source in sources:
        name, is_package = module(path)
        table[name] = is_package, carried(path, source)
    write_frame(b"%d.%d.%d" % sys.version_info[:3])
    write_frame(importlib.util.MAGIC_NUMBER + marshal.dumps(table))


if __name__ == "__main__":
    main()
