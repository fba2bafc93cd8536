"""Commands of the runtime, one file each. Nothing heavy is imported before a command runs."""

import contextlib
import errno
import os
import sys
from typing import NoReturn

import typer

from edge.errors import EdgeError
from edge.wording import printable

# Typer carries a click of its own in newer versions; its errors are reached through the one that Typer names.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended before its work was done."""


def new_app() -> typer.Typer:
    """Return a command line without commands. Its help is plain text: square brackets are no markup in it."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def run_app(app: typer.Typer) -> NoReturn:
    """Run a command; what a person got wrong is one line on standard error and exit code 2, never a traceback."""
    _open_standard_files()
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer returns it instead of raising KeyboardInterrupt
            raise KeyboardInterrupt
        sys.exit(0)
    except EdgeError as error:
        fail(str(error))
    except _UsageError as error:
        said = str(getattr(error, "format_message")())  # noqa: B009  its type has no public name
        fail(f"{said.replace('Value error, ', '').rstrip('.')}; see --help")
    except (typer.Abort, KeyboardInterrupt):
        with contextlib.suppress(OSError):
            print("interrupted", file=sys.stderr, flush=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EPIPE):
            raise
        _stop_writing()
        fail(f"standard output cannot be written: {error.strerror}")


def _open_standard_files() -> None:
    """Standard input, output and error are there, though nobody reads them: else the next file opened takes their place
    and a child writes into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _stop_writing() -> None:
    """What is still buffered for standard output cannot be written either: the interpreter's end must not try."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def fail(message: str) -> NoReturn:
    """Say what is wrong in one line and leave with exit code 2."""
    with contextlib.suppress(OSError):
        print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    sys.exit(2)
