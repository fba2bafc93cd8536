"""One run of the belt past the finder, frame by frame and without a clock: the found parts and their scores."""

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from edge.backends import Backend, load_from
from edge.bundle import load_bundle
from edge.demo.moving import MovingBelt, View
from edge.presence import Presence
from edge.presence.finder import Finder, Passed
from edge.sources import Capture, Shown

BACKEND = "openvino"

FALSE_START_FRAMES = 20
"""Frames at the start of a run whose time is not counted."""


@dataclass(frozen=True)
class Case:
    """One belt: frames a second, speed in frame widths a second, pitch in frame widths, and number of parts."""

    rate: float
    speed: float
    pitch: float
    parts: int
    seed: int
    size: tuple[int, int]
    defect_rate: float = 0.4
    frames: int = 1


@dataclass(frozen=True)
class Judged:
    """One part: its number of verdicts, whether one was unknown, its scores as found and in isolation.

    Also its distance from the middle in pixels, on the chosen frame and on the best of all frames.
    """

    code: str
    truth: str
    verdicts: int
    unknown: bool
    score: float
    score_alone: float
    off: float
    least_off: float


@dataclass(frozen=True)
class Run:
    """The result of a case.

    `strangers` counts verdicts about no part; `see_ms` is the time of the finder for each frame without a part.
    """

    case: Case
    parts: tuple[Judged, ...]
    strangers: int
    see_ms: tuple[float, ...]


def capture_of(view: View, number: int, rate: float) -> Capture:
    """A frame of the belt as a source gives it; the stamps have exactly the rate of the camera."""
    shown = tuple(Shown(part.code, part.truth, part.x, part.y) for part in view.parts)
    return Capture(number, f"frame {number}", view.frame, round(number * 1e9 / rate), shown=shown)


def belt_of(case: Case) -> MovingBelt:
    """The belt of a case."""
    return MovingBelt(
        case.seed, case.size, case.rate, case.speed, case.pitch, defect_rate=case.defect_rate, parts=case.parts
    )


def judge(case: Case, bundle: Path) -> Run:
    """Run a case: the finder gets every frame; the model scores the chosen frames and each part in isolation."""
    cv2.setNumThreads(1)
    belt, model = belt_of(case), _model(bundle, case.size)
    found, see_ms = _watch(belt, case)
    codes = {passed.shown.name for passed, _ in found if passed.shown is not None}
    parts = []
    for index in range(case.parts):
        part = belt.part(index)
        mine = [(passed, number) for passed, number in found if passed.shown and passed.shown.name == part.code]
        parts.append(_judged(belt, index, mine, model))
    known = {part.code for part in parts}
    strangers = sum(passed.shown is None for passed, _ in found) + len(codes - known)
    return Run(case, tuple(parts), strangers, tuple(see_ms[FALSE_START_FRAMES:]))


def _watch(belt: MovingBelt, case: Case) -> tuple[list[tuple[Passed, int]], list[float]]:
    """The found parts, each with the number of its chosen frame, and the milliseconds of each frame without a part."""
    finder = Finder(Presence(frames=case.frames))
    found: list[tuple[Passed, int]] = []
    see_ms = []
    for number in range(belt.frames() or 0):
        capture = capture_of(belt.view(number), number, case.rate)
        begun = time.process_time_ns()
        passed = finder.see(capture)
        if not passed:
            see_ms.append((time.process_time_ns() - begun) / 1e6)
        found += [(one, one.captures[0].index) for one in passed]
    return found + [(one, one.captures[0].index) for one in finder.finish()], see_ms


def _judged(belt: MovingBelt, index: int, mine: list[tuple[Passed, int]], model: Backend) -> Judged:
    part, middle = belt.part(index), belt.size[1] / 2
    offs = abs(belt.place(index) + np.array([belt.travelled(n) for n in range(belt.frames() or 0)]) - middle)
    least = float(offs.min())
    whole = [(passed, number) for passed, number in mine if passed.fault is None]
    if not whole:
        nothing = float("nan")
        return Judged(part.code, part.truth, len(mine), bool(mine), nothing, nothing, nothing, least)
    passed, number = whole[0]
    score = max(model.infer(one.frame).score for one in passed.captures if one.frame is not None)
    alone = model.infer(belt.alone(index, number)).score
    return Judged(part.code, part.truth, len(mine), False, score, alone, float(offs[number]), least)


@lru_cache(maxsize=1)
def _model(bundle: Path, size: tuple[int, int]) -> Backend:
    return load_from(load_bundle(bundle), BACKEND, 1, size)
