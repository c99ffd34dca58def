"""Uncaught errors of an app, as if it had been started from a folder: with source lines, without frames of ours."""

from __future__ import annotations

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, TracebackType
    from typing import Any


#: What has started the app.
_hidden: set[CodeType] = set()


def report_as_from_a_folder(*callers: CodeType) -> None:
    """Take over the printing of uncaught errors; what is running now, and `callers`, have started the app.

    Before Python 3.13 the interpreter's own printer finds source lines in files alone; that of errors which cannot be
    raised (`sys.unraisablehook`) does so to this day.
    """
    _hidden.update(callers)
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        _hidden.add(frame.f_code)
        frame = frame.f_back
    sys.excepthook = _excepthook
    sys.unraisablehook = _unraisablehook
    if sys.version_info < (3, 13):
        _thread._excepthook = _threadhook  # what `threading` takes when it is loaded
        if "threading" in sys.modules:
            sys.modules["threading"].excepthook = _threadhook  # type: ignore[attr-defined]


def hide_from_hooks_of_the_app() -> None:
    """Let an `excepthook` that the app has set see its own frames alone, too."""
    hook = getattr(sys, "excepthook", _excepthook)  # the app may have deleted it

    def told_less(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        hook(kind, value.with_traceback(_of_the_app(trace)), value.__traceback__)

    if hook is not _excepthook:
        sys.excepthook = told_less


def _excepthook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    _print(kind, value.with_traceback(_of_the_app(trace)))


def _of_the_app(trace: TracebackType | None) -> TracebackType | None:
    first = trace
    while first is not None and first.tb_frame.f_code in _hidden:
        first = first.tb_next
    return first or trace


def _print(kind: type[BaseException], value: BaseException) -> None:
    # To import `traceback` is to run strings, after which the interpreter has forgotten that it was interrupted.
    if sys.version_info >= (3, 13) or issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, value, value.__traceback__)
        return
    if sys.stderr is not None:
        import traceback  # deferred: only when something failed

        traceback.print_exception(value)


def _threadhook(failed: Any) -> None:
    """Print what `threading.excepthook` prints."""
    if failed.exc_type is not SystemExit and sys.stderr is not None:
        name = failed.thread.name if failed.thread is not None else _thread.get_ident()
        print(f"Exception in thread {name}:", file=sys.stderr)
        _print(failed.exc_type, failed.exc_value)


def _unraisablehook(failed: Any, print_without_lines: Callable[[Any], object] = sys.__unraisablehook__) -> None:
    """Print what `sys.unraisablehook` prints."""
    try:
        if sys.stderr is None:
            return
        import traceback  # deferred: only when something failed

        if failed.object is not None:
            said = f"{failed.err_msg or 'Exception ignored in'}: {failed.object!r}\n"
        else:
            said = f"{failed.err_msg}:\n" if failed.err_msg else ""
        lines = traceback.format_exception(failed.exc_type, failed.exc_value, failed.exc_traceback)
        sys.stderr.write("".join([said, *lines]))
    except Exception:  # noqa: BLE001 - the interpreter is ending, or whatever else
        print_without_lines(failed)
