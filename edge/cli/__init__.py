"""Commands of the runtime, one file each. Nothing heavy is imported before a command runs."""

import sys
from typing import NoReturn

import typer

from edge.errors import EdgeError


def run_app(app: typer.Typer) -> NoReturn:
    """Run a command; an EdgeError becomes one line on standard error and exit code 2, never a traceback."""
    try:
        app()
    except EdgeError as error:
        fail(str(error))
    sys.exit(0)


def fail(message: str) -> NoReturn:
    """Say what is wrong in one line and leave with exit code 2."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(2)
