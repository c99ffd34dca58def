"""Compile in the interpreter that the bytecode is for; run by path, without archimport.

Reads frames of path and source on stdin, each a 4-byte length and the bytes. `pyc` writes a frame for each source: an
unchecked hash-based pyc (PEP 552), or nothing where it does not compile. `table` writes two: the version, and the magic
with the table of all modules for the stub of a bundle (`archimport.runtime.carried`): its hash, and it marshalled. The
hash is one that every interpreter has, so that nothing is imported to check it.
"""

import _imp
import ast
import importlib.util
import marshal
import sys
import warnings

#: What a start of a bundle imports of the runtime, with all that these import.
AT_START = ("archimport.runtime.app", "archimport.bundle.store")


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


class WithoutAnnotations(ast.NodeTransformer):
    """Leave out of the runtime's modules what is for readers, and the import that says how that is meant."""

    def visit_arg(self, node):
        """Leave out what a parameter is."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):
        """Leave out what a function gives."""
        node.returns = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node):
        """Leave fields: records are made of them. Their kinds stay text, as the import has it."""
        for part in node.body:
            if isinstance(part, ast.AnnAssign):
                part.annotation = ast.copy_location(ast.Constant(ast.unparse(part.annotation)), part)
        node.body = [part if isinstance(part, ast.AnnAssign) else self.visit(part) for part in node.body]
        return node

    def visit_AnnAssign(self, node):
        """Leave out what a variable is."""
        target = ast.copy_location(ast.Assign([node.target], node.value), node)
        return target if node.value else ast.copy_location(ast.Pass(), node)

    def visit_ImportFrom(self, node):
        """Leave out the import."""
        return None if node.module == "__future__" else node


def carried(path, tree):
    """Give the code of a module of the runtime."""
    tree = WithoutAnnotations().visit(tree)
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=2)


def needed(name, trees, found):
    """Add a module to those that were found, behind those from which its top imports."""
    if name in found or name not in trees:
        return
    needed(name.rpartition(".")[0], trees, found)
    for node in trees[name].body:
        if isinstance(node, ast.ImportFrom):
            for imported in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                needed(imported, trees, found)
    found[name] = True


def table(sources):
    """Give the table of the runtime: what a start loads is code, the rest is marshalled."""
    found = {module(path)[0]: path for path, _ in sources}
    trees = {name: ast.parse(source) for name, (_, source) in zip(found, sources, strict=True)}
    first = {}
    for name in AT_START:
        needed(name, trees, first)
    codes = {name: carried(found[name], trees[name]) for name in (*first, *sorted(trees.keys() - first))}
    return {
        name: (module(found[name])[1], code if name in first else marshal.dumps(code)) for name, code in codes.items()
    }


def main():
    """Do what the first argument says."""
    warnings.simplefilter("ignore")
    stream = frames(sys.stdin.buffer)
    sources = [(path.decode(), next(stream)) for path in stream]
    if sys.argv[1] == "pyc":
        for path, source in sources:
            write_frame(pyc(path, source))
        return
    write_frame(b"%d.%d.%d" % sys.version_info[:3])
    runtime = marshal.dumps(table(sources))
    write_frame(importlib.util.MAGIC_NUMBER + _imp.source_hash(0, runtime) + runtime)


if __name__ == "__main__":
    main()
