"""Codes of parts: which code counts, and how the reader's process and the frame ring go together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.codes import drawn, grey
from support.line import refused, station_config

from edge.frame import Frame
from edge.letterbox.contract import RegionOfInterest
from edge.station.codes.child import ZXING, Reader, RegionError
from edge.station.codes.contract import DEFAULT_FORMATS, MOST_FRAMES, CodeFormat, CodeOutcome, Wanted
from edge.station.codes.process import CodeReading
from edge.station.parts import Part
from edge.station.process.messages import Captured
from edge.station.process.ring import Attached, Ring

NONE: Any = None
"""No inspection: nothing judges these parts."""

TEXTS = {"ean": "4012345678901", "itf": "00123456789012", "codabar": "A12345B", "databar": "01234567890128"}
WRITTEN = {"ean": "EAN13", "databar": "DataBarOmni"}


def look(*frames: Frame, pattern: str | None = None, formats: Any = DEFAULT_FORMATS, region: Any = None) -> Any:
    return Reader(Wanted(formats, region, pattern)).look(list(frames))


@pytest.mark.parametrize("name", ZXING)
def test_each_format_is_read(name: CodeFormat) -> None:
    text = TEXTS.get(name, "SN17")
    frame = drawn(grey(240, 640), text, WRITTEN.get(name, ZXING[name]))
    read = f"(01){text}" if name == "databar" else text  # with its GS1 identifier
    assert look(frame, formats=(name,)) == (CodeOutcome.READ, read)


def test_a_format_that_is_not_wanted_is_not_read() -> None:
    assert look(drawn(grey(), "SN-17"), formats=("qr",)) == (CodeOutcome.NONE, None)
    assert look(grey()) == (CodeOutcome.NONE, None)


def test_codes_with_different_texts_are_several_and_with_the_same_text_one() -> None:
    one = drawn(grey(), "SN-17")
    assert look(drawn(one, "SN-18", "QRCode", (120, 200))) == (CodeOutcome.SEVERAL, None)
    assert look(drawn(one, "SN-17", "QRCode", (120, 200))) == (CodeOutcome.READ, "SN-17")


def test_format_pattern_and_region_choose_one_of_several_codes() -> None:
    two = drawn(drawn(grey(), "SN-17"), "https://example.com/part", "QRCode", (120, 200))
    assert look(two, pattern=r"SN-\d+") == (CodeOutcome.READ, "SN-17")
    assert look(two, pattern=r"SN-\d") == (CodeOutcome.NONE, None), "the whole text"
    assert look(two, formats=("datamatrix",)) == (CodeOutcome.READ, "SN-17")
    assert look(two, region=RegionOfInterest(left=0, top=0, width=150, height=110)) == (CodeOutcome.READ, "SN-17")


def test_a_frame_without_the_region_is_named_with_the_remedy() -> None:
    with pytest.raises(RegionError, match=r"^--code-region ends at column 8000, row 90, and the frame is .* inside$"):
        look(grey(), region=RegionOfInterest(left=0, top=0, width=8000, height=90))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x" * 64, True), ("x" * 65, False), ("Größe 5", True), ("a\nb", False), (b"\x80\x81", False)],
)
def test_a_text_that_is_not_printable_or_too_long_is_unfit(text: str | bytes, expected: bool) -> None:
    outcome, read = look(drawn(grey(), text))
    assert (outcome, read) == ((CodeOutcome.READ, text) if expected else (CodeOutcome.UNFIT, None))


def test_the_first_frame_of_a_part_that_shows_a_code_decides() -> None:
    assert look(grey(), drawn(grey(), "A1"), drawn(grey(), "A2")) == (CodeOutcome.READ, "A1")


# ------------------------------------------------------------------------------------------------ the reader's process


class Frames:
    """Replaces the capture process: a ring whose slots each hold one frame with a code, and the holders of each."""

    def __init__(self, slots: int) -> None:
        self.holders = [0] * slots
        self.ring = Ring(slots, grey().size)
        for slot in range(slots):
            np.copyto(Attached().frame(self.memory(slot), *grey().shape[:2]), drawn(grey(), f"SN-{slot}"))

    def memory(self, slot: int) -> str:
        return self.ring.name(slot)

    def hold(self, slot: int) -> None:
        self.holders[slot] += 1

    def release(self, slot: int) -> None:
        self.holders[slot] -= 1

    def part(self, slot: int, fields: dict[str, str] | None = None) -> Part:
        now = time.monotonic_ns()
        capture = Captured(slot, 0, "p", *grey().shape[:2], None, now, None, None, 0)
        return Part(slot + 1, "p", now, now, NONE, capture, fields=fields)


class Journal:
    """Replaces the recorder."""

    def __init__(self) -> None:
        self.late: list[tuple[object, ...]] = []

    def late_field(self, *row: object) -> None:
        self.late.append(row)


class Bench:
    """A reader in its process, its frames and its journal."""

    def __init__(self) -> None:
        self.frames: Any = Frames(5)
        self.journal: Any = Journal()
        self.codes = CodeReading(station_config(read_code="serial"), "ab12", self.frames, self.journal)
        self.in_flight: dict[int, Part] = {}
        self.until(lambda: self.codes._is_up)

    def until(self, holds: Any) -> None:
        until = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < until
            self.codes.supervise()
            self.codes.receive(self.in_flight)
            time.sleep(0.005)

    def offer(self, *parts: Part) -> None:
        for part in parts:
            self.in_flight[part.seq] = part
            self.codes.show(part)
        self.codes.offer()

    @property
    def counts(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.codes.counts.items() if count}

    def pid(self) -> int:
        return int(self.codes.child._process.pid)


@pytest.fixture(scope="module")
def process() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.codes.close(1.0)
    bench.frames.ring.close()


@pytest.fixture
def bench(process: Bench) -> Bench:
    """The bench, at rest and with its counts at 0."""
    process.until(lambda: process.codes._is_up and not process.codes._loans)
    process.codes.counts.update(dict.fromkeys(CodeOutcome, 0))
    process.in_flight, process.journal.late = {}, []
    return process


def test_a_text_before_the_verdict_becomes_a_field_beside_those_of_the_trigger(bench: Bench) -> None:
    part = bench.frames.part(3, {"lot": "17-B"})
    bench.offer(part)
    assert bench.frames.holders[3] == 1
    bench.until(lambda: bench.counts)
    assert (part.fields, bench.counts) == ({"lot": "17-B", "serial": "SN-3"}, {"read": 1})
    assert bench.frames.holders == [0] * 5
    assert bench.journal.late == []


def test_a_text_after_the_verdict_is_only_recorded(bench: Bench) -> None:
    part = bench.frames.part(3)
    bench.offer(part)
    bench.in_flight.clear()  # its verdict is published
    bench.until(lambda: bench.counts)
    assert (part.fields, bench.counts) == (None, {"late": 1})
    assert bench.journal.late == [("ab12", 4, "serial", "SN-3")]


def test_the_field_of_a_trigger_wins_and_a_ninth_field_is_left_out(bench: Bench) -> None:
    named, full = bench.frames.part(0, {"serial": "4711"}), bench.frames.part(1, {f"f{n}": "" for n in range(8)})
    bench.offer(named, full)
    assert bench.counts == {"unfit": 1}
    assert named.fields == {"serial": "4711"}
    assert full.fields is not None
    assert "serial" not in full.fields
    assert bench.frames.holders == [0] * 5


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_reader_that_hangs_or_dies_holds_two_slots_at_most_and_gives_them_back(
    bench: Bench, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(bench.pid(), number)
    bench.offer(*map(bench.frames.part, range(5)))
    assert bench.frames.holders == [1] * MOST_FRAMES + [0] * (5 - MOST_FRAMES)
    assert bench.counts == {"dropped": 3}
    monkeypatch.setattr("edge.station.codes.process.HANGS_S", 0.5)
    bench.until(lambda: not bench.codes._loans)
    assert bench.frames.holders == [0] * 5
    assert bench.counts == {"dropped": 3, "failed": 2}
    assert all(part.fields is None for part in bench.in_flight.values())
    monkeypatch.undo()
    bench.until(lambda: bench.codes._is_up)
    assert bench.codes.child.restarts >= 1
    bench.offer(part := bench.frames.part(4))
    bench.until(lambda: not bench.codes._loans)
    assert part.fields == {"serial": "SN-4"}


def test_a_frame_that_cannot_be_read_is_counted_and_the_next_one_is_read(bench: Bench) -> None:
    gone = bench.frames.part(0)
    gone.capture = gone.capture._replace(height=10_000)  # more than the slot has
    bench.offer(gone, bench.frames.part(1))
    bench.until(lambda: not bench.codes._loans)
    assert bench.counts == {"failed": 1, "read": 1}
    assert "codes: 1 frame not read" in bench.codes.alarms[0]


# ------------------------------------------------------------------------------------------------------- the settings


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--read-code", "Serial No"), "--read-code 'Serial No': must match the pattern"),
        (("--read-code", "serial", "--code-formats", "barcode"), "'barcode': must be 'datamatrix', 'qr'"),
        (("--read-code", "serial", "--code-pattern", "SN-("), "that is no regular expression: missing )"),
        (("--read-code", "serial", "--code-region", "1,2"), "--code-region '1,2'"),
        (("--code-pattern", "SN"), "--code-pattern says which code is read: give --read-code NAME, too"),
    ],
)
def test_settings_that_say_nothing_sensible_are_refused(flags: tuple[str, ...], said: str) -> None:
    assert said in refused("--source", "demo", "--no-records", *flags)


def test_without_the_extra_the_command_ends_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    code = "import sys; sys.modules['zxingcpp'] = None; from edge.cli.run import main; main()"
    options = ("--source", "demo", "--read-code", "serial", "--records", str(tmp_path / "records"))
    done = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    remedy = "pip install 'edge-inspect[codes]'"
    assert done.stderr == f"error: --read-code needs zxing-cpp, which is not installed: {remedy}\n"
    assert not (tmp_path / "records").exists()
