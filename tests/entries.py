"""Verdicts without a line, and a recorder that a test can wait for."""

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.records.journal import JOURNAL
from edge.records.recorder import Recorder
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


def recorder(folder: Path, epoch: str = "ab12", **options: Any) -> Recorder:
    """A recorder whose run has begun."""
    begun = Recorder(folder, "line1", **options)
    begun.begin(epoch, "demo", "demo 0123456789ab", "{}")
    return begun


def enter(into: Recorder, *verdicts: Verdict) -> None:
    """Accept and enter them."""
    for one in verdicts:
        into.accept(one.seq)
        into.enter(one, payload(one))


def until(holds: Callable[[], object]) -> None:
    """Wait until it does; a busy machine is given time."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)


def settle(*recorders: Recorder) -> None:
    """Wait until everything is on disk."""
    for one in recorders:
        until(lambda one=one: one.backlog == 0)


def rows(folder: Path, select: str) -> list[tuple[Any, ...]]:
    """What the journal has."""
    with closing(sqlite3.connect(folder / JOURNAL, timeout=10)) as journal:
        return journal.execute(select).fetchall()


@contextmanager
def journal_taken(folder: Path) -> Iterator[None]:
    """While this lasts, nothing can be written to the journal: for the station that is a disk that does not answer."""
    with closing(sqlite3.connect(folder / JOURNAL, timeout=10, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A disk of its own, so small that it can be filled."""
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
    """Take all room of a disk but `leave` bytes; remove the file to have it back."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return filler
