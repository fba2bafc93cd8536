"""Measurements of a run, as JSON beside its folder; they hold until the run is made again."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.files import write_whole
from train.run import WEIGHTS_FILE

Content = TypeVar("Content", bound=BaseModel)


class Measurement(BaseModel):
    """Base of the measurements that the benchmark makes itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def file_beside(run: Path, what: str) -> Path:
    """The file of one measurement of a run."""
    return run.with_name(f"{run.name}.{what}.json")


def read_beside(run: Path, what: str, kind: type[Content]) -> Content | None:
    """A measurement of a run.

    None if it has to be made: there is none, the run is newer, or another version of the program made it.
    """
    file = file_beside(run, what)
    if not file.exists() or is_older(file, run / WEIGHTS_FILE):
        return None
    try:
        return kind.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError:
        return None


def write_beside(run: Path, what: str, content: BaseModel) -> None:
    """Write a measurement of a run."""
    write_whole(file_beside(run, what), content.model_dump_json(indent=1) + "\n")


def is_older(file: Path, other: Path) -> bool:
    """Whether both files exist and `file` was written before `other`."""
    return file.exists() and other.exists() and file.stat().st_mtime < other.stat().st_mtime
