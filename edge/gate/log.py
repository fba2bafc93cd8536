"""The gate's own log: a line of JSON for each decided part, written before the gate moves."""

import contextlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import RecordsError
from edge.gate.decision import Decision

CUT = "#cut"
"""Ends a line that an interrupted gate did not finish, so that the next line is separate from it."""


def _is_torn(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


class LineLog:
    """Appends lines of JSON to a file. They survive the end of this process, but not a power cut."""

    def __init__(self, path: Path) -> None:
        """Raises RecordsError if the file cannot be written."""
        try:
            is_torn = _is_torn(path)
            self._file = path.open("a", encoding="utf-8", buffering=1)
            if is_torn:
                self._file.write(f"{CUT}\n")
        except OSError as error:
            raise RecordsError(f"{path} cannot be written: {error.strerror}; choose another file with --log") from error

    def append(self, said: Mapping[str, str | int | None]) -> None:
        """Append one line with the time and flush it. Raises RecordsError; the caller must then move nothing."""
        line = {**said, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RecordsError(f"{self._file.name} cannot be written: {error.strerror}; make room there") from error

    def close(self) -> None:
        """Close the file. Errors of writing were raised by `append`."""
        with contextlib.suppress(OSError):
            self._file.close()


class GateLog(LineLog):
    """The log of a gate."""

    def write(self, decision: Decision) -> None:
        """Append one decision. Raises RecordsError; the gate must then not move."""
        self.append(fields(decision))


def fields(decision: Decision) -> dict[str, str | int | None]:
    """A decision as it is logged; `to_seq` and `detail` are left out if they are None."""
    said: dict[str, str | int | None] = {
        "epoch": decision.epoch,
        "seq": decision.seq,
        "part": decision.part,
        "decision": "pass" if decision.passes else "reject",
        "why": decision.why,
        "fate": decision.fate,
    }
    return said | {
        name: value for name, value in (("to_seq", decision.to_seq), ("detail", decision.detail)) if value is not None
    }
