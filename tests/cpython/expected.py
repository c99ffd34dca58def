"""What of the interpreter's tests is run, and which of them cannot pass, with the reason."""

from __future__ import annotations

import sys

_LIB = "test.test_importlib"
_OLD = sys.version_info < (3, 12)
_METADATA = f"{_LIB}.metadata" if sys.version_info >= (3, 13) else _LIB
_RESOURCES = _LIB if _OLD else f"{_LIB}.resources"

#: Name of a suite: the mode of `run.py`, and the modules.
SUITES = {
    "source": (
        "machinery",
        [
            f"{_LIB}.source.test_{part}"
            for part in ("finder", "file_loader", "source_encoding", "path_hook", "case_sensitivity")
        ],
    ),
    "import": (
        "mirror",
        [
            f"{_LIB}.import_",
            *(f"{_LIB}.test_{part}" for part in ("pkg_import", "threaded_import", "lazy", "api", "util", "spec")),
            "test.test_import",
        ],
    ),
    "namespace packages": ("mirror", [f"{_LIB}.test_namespace_pkgs"]),
    "resources": (
        "mirror",
        [
            f"{_RESOURCES}.test_{part}"
            for part in ("reader", "files", "open", "read", "path", "resource", "contents", "compatibilty_files")
        ],
    ),
    "metadata": (
        "mirror",
        [
            f"{_METADATA}.{part}"
            for part in ("test_main", "test_zip", "test_api" if sys.version_info >= (3, 13) else "test_metadata_api")
        ],
    ),
    "pkgutil": ("types", ["test.test_pkgutil"]),
    "runpy": ("types", ["test.test_runpy"]),
}

_LEGACY = "find_module and find_loader went with Python 3.12"
_BY_HASH = "bytecode is bound to its source by hash: one that names a time is not used, and none is written"
_COMPILED = "bytecode that is damaged is compiled again, where the file system's loader raises"
_PRIVATE = "looks at an attribute of FileFinder's own"

#: From and to which version of Python a test is there, or fails.
_ALL, _OLDEST, _NEWEST = ((3, 11), (3, 13)), ((3, 11), (3, 11)), ((3, 13), (3, 13))
#: Tests that fail, by suite: class and method (a pattern), the reason, and the versions.
EXPECTED: dict[str, list[tuple[str, str, tuple[tuple[int, int], tuple[int, int]]]]] = {
    "source": [
        ("Frozen_FinderTestsPEP302.*", _LEGACY, _OLDEST),
        ("Frozen_FinderTestsPEP420.*", _LEGACY, _OLDEST),
        ("Frozen_PathHookTest.*_legacy", _LEGACY, _OLDEST),
        ("Frozen_FinderTestsPEP4??.test_invalidate_caches", _PRIVATE, _ALL),
        ("*_SourceLoaderBadBytecodeTestPEP???.test_bad_marshal", _COMPILED, _ALL),
        ("*_SourceLoaderBadBytecodeTestPEP???.test_no_marshal", _COMPILED, _ALL),
        ("*_SourceLoaderBadBytecodeTestPEP???.test_non_code_marshal", _COMPILED, _ALL),
        ("*_SourceLoaderBadBytecodeTestPEP???.test_old_timestamp", _BY_HASH, _ALL),
        ("*_SimpleTest.test_overridden_unchecked_hash_based_pyc", _BY_HASH, _ALL),
    ],
    "import": [
        ("PycRewritingTests.test_foreign_code", _BY_HASH, _ALL),
        (
            "ImportTracebackTests.test_syntax_error",
            "the traceback of a SyntaxError shows our loader, as it shows zipimport: the interpreter hides its own",
            _ALL,
        ),
    ],
    "namespace packages": [
        (
            "LegacySupport.test_non_namespace_package_takes_precedence",
            "expects no 'namespace' in the loader's repr, where ours has the folder's name",
            _ALL,
        ),
    ],
    "pkgutil": [("ExtendPathTests.test_iter_importers", "asks whether a loader is a SourceFileLoader", _ALL)],
    "resources": [
        ("PathDiskTests.test_natural_path", "as_file gives a copy: a store has no files of its own", _NEWEST),
    ],
}


def expected(suite: str) -> list[str]:
    """Give the patterns of the tests of a suite that fail on this Python."""
    version = sys.version_info[:2]
    return [pattern for pattern, _, (first, last) in EXPECTED.get(suite, []) if first <= version <= last]
