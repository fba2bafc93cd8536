"""One damaged file: its damage, and the source's result for each of its frames."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import cv2
import numpy as np

from benchmarks.damage.formats import Format
from edge.errors import EdgeError
from edge.frame import Frame
from edge.sources import Capture, SourceRequest, open_source

KINDS = ("cut", "zeroed", "swapped", "truncated")
"""Kinds of damage: up to MOST_BYTES are removed or set to zero, two such stretches are swapped, the rest is cut off.
"""

MOST_BYTES = 2000

SAME = 2
"""Grey levels by which a judged frame may differ from the undamaged one."""

OUTCOMES = ("unknown", "unharmed", "slipped", "left out")
"""Outcomes of a frame: it has a fault; it is judged and no pixel differs by more than SAME; a pixel differs by more;
the container promises the frame, but there is no capture.
"""


def damage(data: bytes, kind: str, rng: Random) -> bytes:
    """The data with one random damage of this kind."""
    length = rng.randint(1, min(MOST_BYTES, len(data) // 4))
    at = rng.randrange(len(data) - length)
    if kind == "cut":
        return data[:at] + data[at + length :]
    if kind == "zeroed":
        return data[:at] + bytes(length) + data[at + length :]
    if kind == "truncated":
        return data[:at]
    other = rng.randrange(len(data) - length)
    first, second = min(at, other), max(at, other)
    second = max(second, first + length)
    one, two = data[first : first + length], data[second : second + length]
    return data[:first] + two + data[first + length : second] + one + data[second + length :]


def captures_of(path: Path) -> list[Capture]:
    """The captures of a station's source for a file; empty if it cannot be opened."""
    try:
        source = open_source(SourceRequest(str(path)))
    except EdgeError:
        return []
    try:
        return [capture for capture in source.captures() if capture is not None]
    except EdgeError:  # the source reports it in one line, and the run ends with an error
        return []
    finally:
        source.close()


def outcomes(captures: Sequence[Capture], whole: Sequence[Frame], counts: bool = True) -> list[str]:
    """The outcome of each frame of the undamaged file. If the file is refused, all its frames are unknown.

    If the container does not count its frames, a judged frame may be any frame of the undamaged file.
    """
    if not captures:
        return ["unknown"] * len(whole)
    found = {capture.index: capture for capture in captures}
    candidates = [[frame] if counts else whole for frame in whole]
    return [_outcome(found.get(index), frames) for index, frames in enumerate(candidates)]


def _outcome(capture: Capture | None, candidates: Sequence[Frame]) -> str:
    if capture is None:
        return "left out"
    if capture.frame is None or capture.fault is not None:
        return "unknown"
    return "unharmed" if any(_is_same(capture.frame, whole) for whole in candidates) else "slipped"


def _is_same(frame: Frame, whole: Frame) -> bool:
    return frame.shape == whole.shape and int(cv2.norm(frame, whole, cv2.NORM_INF)) <= SAME


def trials(
    form: Format, parts: Sequence[Sequence[Frame]], count: int, folder: Path, seed: int
) -> Iterator[Counter[str]]:
    """Damage `count` files of a format, each made of one of the `parts`; yields "kind: outcome" counts per file."""
    rng = Random(f"{seed} {form.name}")
    path = folder / f"damaged{form.suffix}"
    files = [form.encode(frames[: form.frames]) for frames in parts]
    wholes = []
    for data in files:
        path.write_bytes(data)
        wholes.append([np.array(capture.frame) for capture in captures_of(path)])
        assert len(wholes[-1]) == form.frames, f"{form.name}: the whole file gives {len(wholes[-1])} frames"
    for number in range(count):
        kind, which = KINDS[number % len(KINDS)], rng.randrange(len(files))
        damaged = damage(files[which], kind, rng)
        path.write_bytes(damaged)
        if damaged == files[which]:
            continue
        yield Counter(f"{kind}: {outcome}" for outcome in outcomes(captures_of(path), wholes[which], form.counts))
