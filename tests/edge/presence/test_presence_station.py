"""A station with a free-running camera and the trigger `presence`: each passing part has one verdict, even if children
of the station fail.
"""

import json
import math
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.line import Line, running_line

from edge.backends import Output
from edge.demo.moving import MovingBelt
from edge.demo.truth import plan_part
from edge.letterbox.contract import LetterboxContract
from edge.station.inference.child import _Seat
from edge.station.process.messages import Configure, Infer
from edge.station.process.ring import Attached, Ring
from edge.verdict import Outcome, Reason, Verdict

BELT = """\
source = "belt"
trigger = "presence"
rate = "60/s"
size = "320x180"
belt = { speed = 3.0, pitch = 0.65 }
"""


def numbers(verdicts: list[Verdict]) -> list[int]:
    """The numbers of the parts on the belt; the simulated source prints them on the parts."""
    return [int(verdict.part[1:]) for verdict in verdicts]


def assert_each_once_and_in_order(line: Line) -> None:
    seen = numbers(line.verdicts)
    assert seen == [*range(seen[0], seen[0] + len(seen))]
    assert all(v.truth == plan_part(0, n, 0.2).truth for v, n in zip(line.verdicts, seen, strict=True))
    assert [v.seq for v in line.verdicts] == [*range(1, len(seen) + 1)]


def living_child(line: Line, name: str) -> int:
    """Process id of the child; waits until the child runs again."""
    while True:
        try:
            return line.child(name)
        except StopIteration:
            time.sleep(0.02)


def test_each_part_of_the_belt_has_one_verdict(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(BELT)
    with running_line("--config", file) as line:
        line.until(25)
        line.process.terminate()
        assert line.to_the_end() == 0
    assert_each_once_and_in_order(line)
    said = json.loads(line.stdout)
    assert said["accepted"] == said["good"] + said["reject"] + said["unknown"] == len(line.verdicts)
    judged = [v for v in line.verdicts if v.verdict is not Outcome.UNKNOWN]
    assert len(judged) >= 20
    assert all(v.timing.in_ring is not None and v.timing.in_ring >= v.timing.captured for v in judged)


def test_a_capture_process_that_is_killed_leaves_no_part_that_it_saw_without_a_verdict_and_none_with_two(
    tmp_path: Path,
) -> None:
    """The belt continues meanwhile. Parts that no frame shows have no verdict. Of the others, those that passed the
    middle between two processes are unknown, and those that were judged were in the middle of the view in their frame.
    """
    file = tmp_path / "station.toml"
    file.write_text(BELT + "presence = { frames = 2, aggregate = 'mean' }\n")
    lasts = []
    with running_line("--config", file) as line:
        for verdicts in (6, 14, 22):
            line.until(verdicts)
            os.kill(living_child(line, "edge-capture"), signal.SIGKILL)
            line.until(len(line.verdicts) + 1)  # a verdict that was under way, or the first one of the next process
            lasts.append(line.verdicts[-2])
        line.until(32)
        line.process.terminate()
        line.to_the_end()
    seen = numbers(line.verdicts)
    assert seen == sorted(set(seen))
    assert [v.seq for v in line.verdicts] == [*range(1, len(seen) + 1)]
    judged = {n: v for n, v in zip(seen, line.verdicts, strict=True) if v.verdict is not Outcome.UNKNOWN}
    unknown = [v for v in line.verdicts if v.verdict is Outcome.UNKNOWN]
    assert all((v.reason, v.score) == (Reason.CAMERA, None) for v in unknown)
    assert json.loads(line.stdout)["restarts"] == 3
    belt = MovingBelt(0, (180, 320), 60.0, 3.0, 0.65)
    first = min(judged)
    frames = {n: (v.timing.captured - judged[first].timing.captured) * 60 / 1e9 for n, v in judged.items()}
    for number, frame in frames.items():
        apart = belt.place(first) - belt.place(number)  # pixels
        assert abs(frame * 16 - apart) < 40, "each two frames at most from the middle, at 16 pixels a frame"
    for last in lasts:
        number = int(last.part[1:])
        in_view = [n for n in range(number, number + 9) if belt.place(number) - belt.place(n) < 130]
        assert set(in_view) <= set(seen), "a part whose front is in view when another one is in the middle"


class Scores:
    """A model whose score of a frame is the value of the first pixel."""

    def infer(self, frame: np.ndarray) -> Any:
        score = {255: math.nan, 254: math.inf}.get(int(frame[0, 0, 0]), frame[0, 0, 0] / 100)
        return Output(score, None)


@pytest.mark.parametrize(
    ("pixels", "aggregate", "score", "worst"),
    [
        ((10, 90, 20), "max", 0.9, 1),
        ((10, 90, 20), "mean", 0.4, 1),
        ((60,), "mean", 0.6, 0),
        ((10, 255, 20), "max", math.nan, 1),
        ((10, 20, 255), "mean", math.nan, 2),
        ((254, 20, 90), "mean", math.inf, 0),
        ((254, 20, 90), "max", math.inf, 0),
    ],
)
def test_the_scores_of_several_frames_become_one_and_none_hides_behind_another(
    pixels: tuple[int, ...], aggregate: Any, score: float, worst: int
) -> None:
    ring = Ring(1, len(pixels) * 8 * 8 * 3)
    try:
        Attached().frame(ring.name(0), len(pixels) * 8, 8)[:] = np.repeat(pixels, 8).reshape(-1, 1, 1)
        letterbox = LetterboxContract(side=32)
        manifest = SimpleNamespace(map_threshold=None, input_statistics=None, letterbox=letterbox)
        bundle = SimpleNamespace(manifest=manifest)
        model: Any = SimpleNamespace(bundle=bundle, threshold=SimpleNamespace(rejects=lambda score: score >= 0.5))
        seat = _Seat(model, Configure((8, 8), aggregate=aggregate), {(8, 8): [Scores()]})
        said = seat.infer(Infer(7, ring.name(0), 8, 8, frames=len(pixels)))
    finally:
        ring.close()
    assert said.fault is None
    assert said.score == pytest.approx(score, nan_ok=True)
    assert said.worst == worst
