"""A frame that the archive copies is held until the archive reports the copy."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.line import station_config
from support.verdicts import verdict

from edge.station.parts import Part
from edge.station.process.messages import Captured, Copied
from edge.station.record_keeping import Records

NONE: Any = None
"""No inspection: nothing judges these parts."""

SLOT = 3


class Frames:
    """Replaces the capture process, and records which slots were held and released."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []

    def memory(self, slot: int) -> str:
        return f"slot {slot}"

    def hold(self, slot: int) -> None:
        self.done.append(("hold", slot))

    def release(self, slot: int) -> None:
        self.done.append(("release", slot))


class Archive:
    """Replaces the archive process: it accepts a frame if `accepts`, and reports the copy at the next call."""

    def __init__(self, accepts: bool) -> None:
        self.accepts, self.lent = accepts, list[int]()

    def offer(self, verdict: Any, payload: bytes, slot: int, *frame: Any) -> bool:
        self.lent += [slot] if self.accepts else []
        return self.accepts

    def receive(self) -> Iterator[Copied]:
        while self.lent:
            yield Copied(self.lent.pop())

    def supervise(self) -> Iterator[Copied]:
        return iter(())


@pytest.mark.parametrize("accepts", [True, False])
def test_a_frame_is_held_while_the_archive_copies_it_and_no_other(accepts: bool, tmp_path: Path) -> None:
    frames: Any = Frames()
    records: Any = Records(station_config(records=str(tmp_path / "record")), "ab12", "demo", frames)
    try:
        records.archiving = Archive(accepts)
        now = time.monotonic_ns()
        part = Part(1, "p1", now, now, NONE, Captured(SLOT, 0, "p1", 90, 160, None, now, None, None, 0))
        records.judged(part, verdict(epoch="ab12"), b"{}")
        assert frames.done == ([("hold", SLOT)] if accepts else [])
        records.serve()
        assert frames.done == ([("hold", SLOT), ("release", SLOT)] if accepts else [])
        records.serve()
        assert len(frames.done) == (2 if accepts else 0), "once"
    finally:
        records.recorder.close("test", 1, 1.0)
