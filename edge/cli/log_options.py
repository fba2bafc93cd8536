"""The options `--log-level` and `--log-format` of a command."""

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any

import typer

from edge.terminal.logs import LogFormat, Logging, LogLevel, start_logging

_OPTIONS = (
    ("log_level", LogLevel, LogLevel.INFO, "Lowest level of the lines on standard error."),
    ("log_format", LogFormat, LogFormat.TEXT, "Format of the lines on standard error."),
)


GROUP = "Output"


def _option(kind: Any, text: str) -> Any:
    return Annotated[kind, typer.Option(help=text, rich_help_panel=GROUP)]


def with_log_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the two options to a Typer command, after its own options. They take effect before the command begins."""

    @functools.wraps(command)
    def logged(*, log_level: LogLevel, log_format: LogFormat, **values: Any) -> None:
        start_logging(Logging(log_level, log_format))
        command(**values)

    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=_option(kind, text))
        for name, kind, default, text in _OPTIONS
    ]
    signature = inspect.signature(command)
    own = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in signature.parameters.values()]
    setattr(logged, "__signature__", signature.replace(parameters=[*own, *options]))  # noqa: B010  as its type has none
    return logged
