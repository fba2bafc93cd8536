"""Commands of the runtime, one file each. A command imports slow packages only when it runs."""

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

# Newer versions of Typer include their own copy of click, so click's error class is found through typer.BadParameter.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

log = logging.getLogger("edge")

OWN = ("autotrain", "edge", "export", "train")
"""Packages of this project. A missing one is a fault of the installation and gives a traceback."""

DISTRIBUTIONS = {"sklearn": "scikit-learn", "markupsafe": "jinja2"}
"""Names of distributions by the name of their module, where the two differ."""

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C interrupted."""

UNREAD = 128 + signal.SIGPIPE
"""Exit code of a command whose reader closed the pipe, as with other Unix commands."""


def new_app() -> typer.Typer:
    """Return a command line without commands. Its help is plain text, in which square brackets are not markup."""
    return App(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def run_app(app: typer.Typer, extra: str | None = None) -> NoReturn:
    """Run a command and exit. A user's error is one line on standard error and exit code 2, never a traceback; an error
    that may be temporary has exit code 75. `extra` is the optional dependency group of the command or of its options.
    """
    prepare_output()
    start_logging(Logging())
    atexit.register(gc.freeze)  # garbage collection at exit would traverse PyTorch's objects for seconds
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
    except OSError as error:  # an error that no command handles: the system's message describes it
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
    """Raise the limit of open files to the system's maximum. Raises EdgeError if the working directory was removed."""
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
    """Call the command. If it exits with its own exit code, flush standard output first."""
    try:
        return app(standalone_mode=False)
    except SystemExit:
        sys.stdout.flush()
        raise


def fail(message: str, code: int = 2) -> NoReturn:
    """Log the error in one line, and exit with this code."""
    try:
        sys.stdout.flush()
    except OutputError:
        stop_output()
    log.error("error: %s", message)
    sys.exit(code)
