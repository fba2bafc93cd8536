"""Log lines of a command on standard error: loggers below `edge`, as text or JSON lines."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from edge.text import printable

Write = Callable[[str], None]


class LogLevel(StrEnum):
    """The lowest level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Format of a log line."""

    TEXT = "text"
    JSON = "json"


class Logging(NamedTuple):
    """Level and format of the log. `station` is the default of lines that name none."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.TEXT
    station: str | None = None


class _Text(logging.Formatter):
    """The message only, with control characters escaped, in one line."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(record.getMessage())


class _Json(logging.Formatter):
    """An ASCII JSON object per line: time in UTC (ISO 8601), level, logger, message, and station if known."""

    def __init__(self, station: str | None) -> None:
        super().__init__()
        self._station = station

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (station := getattr(record, "station", self._station)) is not None:
            line["station"] = station
        return json.dumps(line)


class _Lines(logging.Handler):
    """Writes each record with one call, line end included."""

    def __init__(self, chosen: Logging) -> None:
        super().__init__()
        self.chosen = chosen
        self.write: Write = _write_error
        self.setFormatter(_Json(chosen.station) if chosen.format is LogFormat.JSON else _Text())

    def emit(self, record: logging.LogRecord) -> None:
        self.write(self.format(record) + "\n")


def _write_error(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def start_logging(chosen: Logging) -> None:
    """Configure the loggers below `edge`."""
    root = logging.getLogger("edge")
    root.handlers[:] = [_Lines(chosen)]
    root.setLevel(chosen.level.upper())
    root.propagate = False


def chosen_logging() -> Logging | None:
    """The configuration of `start_logging`; None before it was called."""
    lines = _handler()
    return None if lines is None else lines.chosen


@contextmanager
def lines_through(write: Write) -> Iterator[None]:
    """Pass log lines, line ends included, to `write` instead of standard error."""
    lines = _handler()
    if lines is not None:
        lines.write = write
    try:
        yield
    finally:
        if lines is not None:
            lines.write = _write_error


def _handler() -> _Lines | None:
    return next((one for one in logging.getLogger("edge").handlers if isinstance(one, _Lines)), None)
