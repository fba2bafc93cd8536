"""Commands of the runtime, one file each. Nothing heavy is imported before a command runs."""

import sys
from typing import NoReturn

import typer

from edge.errors import EdgeError
from edge.wording import printable

# Typer carries a click of its own in newer versions; its errors are reached through the one that Typer names.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def run_app(app: typer.Typer) -> NoReturn:
    """Run a command; what a person got wrong is one line on standard error and exit code 2, never a traceback."""
    try:
        sys.exit(app(standalone_mode=False))
    except EdgeError as error:
        fail(str(error))
    except _UsageError as error:
        said = str(getattr(error, "format_message")())  # noqa: B009  its type has no public name
        fail(f"{said.replace('Value error, ', '').rstrip('.')}; see --help")
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)


def fail(message: str) -> NoReturn:
    """Say what is wrong in one line and leave with exit code 2."""
    print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    sys.exit(2)
