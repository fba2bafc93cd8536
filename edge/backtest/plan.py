"""The plan of a backtest, written into its folder first, so that an interrupted one goes on with the same frames."""

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from math import isnan
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.backtest.items import Item
from edge.errors import DataError
from edge.files import write_whole
from edge.text import reason_of

FILE, ITEMS, LOCK = "plan.json", "items.json", "lock"
CHUNK = 200
"""Frames of a chunk: some seconds of work, so that little is lost with a worker."""


class Judge(BaseModel):
    """A bundle: its label, folder, digest, and the artifact of it that runs."""

    model_config = ConfigDict(frozen=True)

    label: str
    folder: str
    digest: str
    backend: str
    threshold: float


class Plan(BaseModel):
    """What is judged by what. `items` is the SHA-256 of the list of frames, of which there are `count`."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    judges: tuple[Judge, ...]
    folders: tuple[str, ...]
    threads: int
    count: int
    items: str

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.count // CHUNK)


def make_plan(judges: Sequence[Judge], folders: Sequence[Path], items: Sequence[Item], threads: int) -> Plan:
    """The plan for these frames."""
    return Plan(
        judges=tuple(judges),
        folders=tuple(str(folder.absolute()) for folder in folders),
        threads=threads,
        count=len(items),
        items=hashlib.sha256(_packed(items).encode()).hexdigest(),
    )


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """While the context is open, no other backtest works in the folder `out`, which is created.

    Raises DataError if one does, or if the folder cannot be written or has something else.
    """
    known = {FILE, ITEMS, LOCK}
    try:
        if out.exists() and (
            not out.is_dir() or ({path.name for path in out.iterdir()} - known and not _is_begun(out))
        ):
            raise DataError(f"--out {out} is not an empty folder; give a new one")
        out.mkdir(parents=True, exist_ok=True)
        with (out / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"--out {out}: another edge-backtest works there; wait for it, or give another"
                ) from None
            yield
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(out)):
            raise
        raise DataError(f"--out {out} cannot be written: {reason_of(error)}; choose another place") from error


def _is_begun(out: Path) -> bool:
    return (out / FILE).exists()


def begin(
    out: Path, judges: Sequence[Judge], folders: Sequence[Path], threads: int, read: Callable[[], list[Item]]
) -> tuple[Plan, list[Item]]:
    """Begin in the folder `out`, which is `locked`, with the frames that `read` gives, or go on there.

    An interrupted backtest keeps its frames, whatever the records have gained or lost since. Returns the plan and the
    frames. Raises DataError if `out` has a backtest of other bundles, folders or threads.
    """
    if not _is_begun(out):
        items = read()
        plan = make_plan(judges, folders, items, threads)
        write_whole(out / ITEMS, _packed(items))
        write_whole(out / FILE, plan.model_dump_json(indent=1))
        return plan, items
    before, kept = read_plan(out)
    asked = make_plan(judges, folders, (), threads)
    for key in ("judges", "folders", "threads"):
        if getattr(before, key) != getattr(asked, key):
            raise DataError(f"--out {out} has a backtest with other {key}; give a new folder, or remove that one")
    return before, kept


def read_plan(out: Path) -> tuple[Plan, list[Item]]:
    """The plan in a folder, and its frames. Raises DataError if they are damaged, OSError if they cannot be read."""
    try:
        plan = Plan.model_validate_json((out / FILE).read_bytes())
        text = (out / ITEMS).read_text()
        items = [Item._make(float("nan") if value is None else value for value in row) for row in json.loads(text)]
    except (ValidationError, ValueError, TypeError) as error:
        raise DataError(f"{out} has a damaged {FILE} or {ITEMS}; remove the folder, and begin again") from error
    if hashlib.sha256(text.encode()).hexdigest() != plan.items or len(items) != plan.count:
        raise DataError(f"{out / ITEMS} is not that of {FILE}; remove the folder, and begin again")
    return plan, items


def chunk_of(items: Sequence[Item], number: int) -> Sequence[Item]:
    """The frames of a chunk."""
    return items[number * CHUNK : (number + 1) * CHUNK]


def _packed(items: Sequence[Item]) -> str:
    rows = ([None if isinstance(value, float) and isnan(value) else value for value in item] for item in items)
    return json.dumps([*rows], ensure_ascii=False)
