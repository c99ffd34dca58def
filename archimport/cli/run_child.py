"""The process of `archimport run`, run by path: the app must not find the modules of the command line loaded.

Arguments: the folder that archimport is in, the store, its options in JSON, `-m` or `-c`, the module or the code, and
the app's arguments.
"""

import json
import os
import sys


def main() -> None:
    """Mount the store and run what was asked for, as `__main__`."""
    home, source, options, what, name, *arguments = sys.argv[1:]
    path = [entry for entry in sys.path if entry != os.path.dirname(__file__)]
    sys.path[:] = [*path, home]
    from archimport.runtime import app
    from archimport.runtime.carried import standard_library
    from archimport.runtime.mount import mount
    from archimport.runtime.reports import report_as_from_a_folder

    locations: list[str | None] = [os.path.realpath(source)]

    def run() -> None:
        mounted = mount(source, **json.loads(options))
        locations.append(mounted.store.location)
        seen = path if app.sees_environment(mounted.store) else standard_library(path)
        sys.path[1:] = seen
        sys.argv[:] = [source if name == "__main__" else what, *arguments]
        if what == "-m":
            app.run_module(name, is_program=name != "__main__")
            return
        report_as_from_a_folder()
        exec(compile(name, "<string>", "exec"), app.fresh_main())

    app.exit_in_one_line(run, locations, "archimport")


if __name__ == "__main__":
    main()
