"""The gate's own log: a line of JSON for each decided part, written before the gate moves."""

import json
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import RecordsError
from edge.gate.decision import Decision


class GateLog:
    """Appends to a file. What was written survives the end of this process, not a power cut."""

    def __init__(self, path: Path) -> None:
        """Raises RecordsError if the file cannot be written."""
        try:
            self._file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise RecordsError(f"{path} cannot be written: {error.strerror}; choose another file with --log") from error

    def write(self, decision: Decision) -> None:
        """Append one line and give it to the kernel. Raises RecordsError: a gate that cannot write must not move."""
        line = {**fields(decision), "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RecordsError(f"{self._file.name} cannot be written: {error.strerror}; make room there") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def fields(decision: Decision) -> dict[str, str | int | None]:
    """A decision as it is logged; `to_seq` and `detail` are there only if they say something."""
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
