"""Support for tests of records: verdicts without a line, a recorder, an archive with frames, and full or slow disks."""

import atexit
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from edge.records.journal import JOURNAL
from edge.records.recorder import LOCK, Recorder
from edge.records.retention import Keeping
from edge.station.archive.process import ArchiveMessage, Archiving
from edge.station.process.messages import Stored
from edge.station.process.ring import Attached, Ring
from edge.verdict import Outcome, Reason, Timing, Verdict

PATIENCE_S = 30.0
REASONS = {Outcome.GOOD: Reason.CLEAR, Outcome.REJECT: Reason.DEFECT, Outcome.UNKNOWN: Reason.LATE}
SCORES = {Outcome.GOOD: 0.1, Outcome.REJECT: 0.9, Outcome.UNKNOWN: None}


def verdict(seq: int, outcome: Outcome = Outcome.GOOD, epoch: str = "ab12", part: str | None = None) -> Verdict:
    """A verdict as a station would publish it."""
    return Verdict(
        station="line1",
        epoch=epoch,
        simulated=True,
        seq=seq,
        part=part or f"part-{seq}",
        verdict=outcome,
        reason=REASONS[outcome],
        score=SCORES[outcome],
        threshold=0.5,
        age_ms=12.5,
        budget_ms=500,
        source="demo",
        bundle="demo 0123456789ab",
        backend="onnxruntime",
        timing=Timing(captured=1_000_000, in_ring=2_000_000, published=13_500_000),
        time="2026-01-02T03:04:05.678+00:00",
    )


def payload(of: Verdict) -> bytes:
    """The verdict as it is published."""
    return of.model_dump_json().encode()


def recorder(folder: Path, epoch: str = "ab12", begins: bool = True, **options: Any) -> Recorder:
    """A recorder whose run has begun, unless `begins` is false."""
    begun = Recorder(folder, "line1", **options)
    if begins:
        begun.begin(epoch, "demo", "demo 0123456789ab", "{}")
    return begun


def enter(into: Recorder, *verdicts: Verdict) -> None:
    """Accept and enter the verdicts."""
    for one in verdicts:
        into.accept(one.seq)
        into.enter(one, payload(one))


def until(holds: Callable[[], object]) -> None:
    """Wait until `holds` returns a true value. The limit is generous, for busy machines."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)


def settle(*recorders: Recorder) -> None:
    """Wait until all rows of these recorders are on disk."""
    for one in recorders:
        until(lambda one=one: one.backlog == 0)


def rows(folder: Path, select: str) -> list[tuple[Any, ...]]:
    """The rows that a query of the journal returns."""
    with closing(sqlite3.connect(folder / JOURNAL, timeout=10)) as journal:
        return journal.execute(select).fetchall()


class Archive:
    """An archive child, a ring with a frame in each slot, and the supervisor's turn of the loop around both."""

    def __init__(self, keeping: Keeping, slots: int = 4, size: tuple[int, int] = (120, 160)) -> None:
        self.archiving = Archiving(keeping)
        self.height, self.width = size
        self.ring = Ring(slots, self.height * self.width * 3)
        self.frames = [np.random.default_rng(slot).integers(0, 256, (*size, 3), np.uint8) for slot in range(slots)]
        ring = Attached()
        for slot, frame in enumerate(self.frames):
            ring.frame(self.ring.name(slot), *size)[...] = frame
        self.said: list[ArchiveMessage] = []

    def turn(self) -> None:
        self.said += [*self.archiving.receive(), *self.archiving.supervise()]

    def offer(self, one: Verdict, slot: int = 0) -> bool:
        memory = self.ring.name(slot)
        return self.archiving.offer(one, payload(one), slot, memory, self.height, self.width)

    def until(self, kind: type[ArchiveMessage], count: int) -> list[ArchiveMessage]:
        until(lambda: self.turn() or len(self.heard(kind)) >= count)
        return self.heard(kind)

    def heard(self, kind: type[ArchiveMessage]) -> list[ArchiveMessage]:
        return [message for message in self.said if isinstance(message, kind)]

    def start(self) -> None:
        until(lambda: self.turn() or self.archiving._is_up)

    def close(self) -> None:
        self.said += self.archiving.close(10)
        self.ring.close()


Made = TypeVar("Made")


def once_made(make: Callable[[Path], Made], folder: Path) -> Made:
    """A copy, in `folder`, of the record that `make` creates once. Its lock is changed so that it does not count as a
    copy.
    """
    record, made = _kept(make)
    shutil.copytree(record, folder, dirs_exist_ok=True)
    (folder / LOCK).write_text(f"{(folder / LOCK).stat().st_ino}\n")
    return made


@cache
def _kept(make: Callable[[Path], Made]) -> tuple[Path, Made]:
    folder = Path(tempfile.mkdtemp(prefix="edge-record-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder, make(folder)


def with_image(folder: Path, epoch: str = "ab12") -> Stored:
    """Create a record with the image of one reject."""
    if epoch == "ab12" and not (folder.exists() and any(folder.iterdir())):
        return once_made(_with_image, folder)
    return _with_image(folder, epoch)


def _with_image(folder: Path, epoch: str = "ab12") -> Stored:
    journal = recorder(folder, epoch)
    one = verdict(1, Outcome.REJECT, epoch, part="código 7")
    enter(journal, one)
    archive = Archive(Keeping(folder, min_free_bytes=0))
    archive.start()
    assert archive.offer(one)
    (stored,) = archive.until(Stored, 1)
    archive.close()
    assert isinstance(stored, Stored)
    journal.image(*stored)
    journal.close("told to stop", 1)
    return stored


def spoil(folder: Path, *statements: str) -> None:
    """Change the journal by SQL statements that no station would execute."""
    with closing(sqlite3.connect(folder / JOURNAL)) as journal:
        for statement in statements:
            journal.execute(statement)
        journal.commit()


@contextmanager
def journal_taken(folder: Path) -> Iterator[None]:
    """While the context is open, the journal is locked, which for the station is a disk that does not respond."""
    with closing(sqlite3.connect(folder / JOURNAL, timeout=10, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A separate disk that is small enough to be filled."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill a disk except for `leave` bytes. Returns the file that takes the room; removing it frees the disk."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return filler
