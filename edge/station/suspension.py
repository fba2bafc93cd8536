"""A person's suspension of the station, kept beside its records until a person resumes it: no restart ends it."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edge.channel.control_messages import Person, Why
from edge.files import read_regular
from edge.records.journal import wall_time
from edge.records.latest_file import LatestFile

FILE = "suspension.json"
LARGEST = 8192
"""Bytes of the file; one has under 2,000."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    by: Person
    reason: Why
    since: str


class KeptSuspension:
    """Who suspends the station, and why. No method but `close` waits for the disk."""

    def __init__(self, folder: Path | None) -> None:
        """Go on with the suspension that `folder`, the records that the station has locked, has. Without a folder a
        suspension ends with the run. A file that cannot be read counts as a suspension: nobody knows that it ended.
        """
        self._file = None if folder is None else LatestFile(folder / FILE)
        self._path = None if folder is None else folder / FILE
        self.said = None if folder is None else _read(folder)
        """Person and reason, as text; None if no person suspends the station."""

    @property
    def remark(self) -> str | None:
        """What the log says at the start of a station that is suspended from before."""
        if self.said is None or self._path is None:
            return None
        return (
            f"still suspended by {self.said}; resume it on the operator's page, or stop the station and remove "
            f"{self._path}"
        )

    @property
    def alarms(self) -> tuple[str, ...]:
        """That the file is not what it should be, as text for users."""
        trouble = self._file.trouble if self._file is not None else None
        return () if trouble is None else (f"{FILE} cannot be written ({trouble}): a restart undoes the last change",)

    def begin(self, by: str, reason: str) -> None:
        """A person suspends the station, or a challenge. Both texts are printable and of the lengths of `Person` and
        `Why`.
        """
        if self.said == (said := f"{by}: {reason}"):
            return
        self.said = said
        if self._file is not None:
            self._file.keep(_Kept(by=by, reason=reason, since=wall_time()))

    def end(self) -> None:
        """A person resumes the station."""
        if self.said is not None:
            self.said = None
            if self._file is not None:
                self._file.keep(None)

    def close(self, patience_s: float) -> None:
        """Let the thread write, for at most `patience_s` seconds."""
        if self._file is not None:
            self._file.close(patience_s)


def _read(folder: Path) -> str | None:
    """Who suspends the station, and why, as the file has it; None without a file."""
    try:
        kept = _Kept.model_validate_json(read_regular(folder, FILE, LARGEST))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"somebody: {FILE} cannot be read ({error.strerror})"
    except ValueError:
        return f"somebody: {FILE} is damaged"
    return f"{kept.by}: {kept.reason}"
