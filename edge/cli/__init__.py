"""Commands of the runtime, one file each. Nothing heavy is imported before a command runs."""

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
from typing import NoReturn

import typer

from edge.cli.help_groups import App
from edge.errors import ConfigError, EdgeError
from edge.terminal.logs import Logging, start_logging
from edge.terminal.output import OutputError, prepare_output, stop_output

# Typer carries a click of its own in newer versions; its errors are reached through the one that Typer names.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

log = logging.getLogger("edge")

OWN = ("edge", "export", "train")
"""Packages of this project: one that is missing is a fault of the installation, with a traceback."""

DISTRIBUTIONS = {"sklearn": "scikit-learn", "markupsafe": "jinja2"}
"""What to install, where it is not called as it is imported."""

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended before its work was done."""

UNREAD = 128 + signal.SIGPIPE
"""Exit code of a command whose reader left, as of other commands of Unix."""


def new_app() -> typer.Typer:
    """Return a command line without commands. Its help is plain text: square brackets are no markup in it."""
    return App(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def run_app(app: typer.Typer, extra: str | None = None) -> NoReturn:
    """Run a command; what a person got wrong is one line on standard error and exit code 2, never a traceback; 75 for
    what may pass by itself. `extra` is the optional part of the package that the command, or one of its options, needs.
    """
    prepare_output()
    start_logging(Logging())
    atexit.register(gc.freeze)  # the interpreter's last collections would walk through PyTorch for seconds
    try:
        _check_surroundings()
        code = _called(app)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer returns it instead of raising KeyboardInterrupt
            raise KeyboardInterrupt
        sys.exit(0)
    except EdgeError as error:
        fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if extra is None or not missing or missing in OWN:
            raise
        name = DISTRIBUTIONS.get(missing, missing)
        fail(f"{name} is not installed, which this command needs: pip install 'edge-inspect[{extra}]'")
    except OSError as error:  # what no command foresaw: the system says what it is
        fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except _UsageError as error:
        said = str(getattr(error, "format_message")())  # noqa: B009  its type has no public name
        fail(f"{said.replace('Value error, ', '').rstrip('.')}; see --help")
    except (typer.Abort, KeyboardInterrupt):
        log.info("interrupted")
        sys.exit(INTERRUPTED)
    except OutputError as error:
        stop_output()
        if error.is_unread:
            sys.exit(UNREAD)
        fail(f"standard output cannot be written: {error}; make room there, or send it elsewhere")


def _check_surroundings() -> None:
    """Let this process open as many files as the system allows. Raises EdgeError if its working directory is gone."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the working directory has been removed; change to another one") from None
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _called(app: typer.Typer) -> object:
    """Call the command, and write out what it printed even where it leaves with an exit code of its own."""
    try:
        return app(standalone_mode=False)
    except SystemExit:
        sys.stdout.flush()
        raise


def fail(message: str, code: int = 2) -> NoReturn:
    """Say what is wrong in one line and leave with this exit code."""
    try:
        sys.stdout.flush()
    except OutputError:
        stop_output()
    log.error("error: %s", message)
    sys.exit(code)
