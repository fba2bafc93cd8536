"""One damaged file: what was done to it, and what the source made of each of its frames."""

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
"""What is done to a file: up to MOST_BYTES are taken out or made zero, two such stretches change places, the rest
goes."""

MOST_BYTES = 2000

SAME = 2
"""Grey levels by which a judged frame may differ from that of the whole file."""

OUTCOMES = ("unknown", "unharmed", "slipped", "left out")
"""Of a frame: it is said to be damaged; it is judged, and no pixel differs by more than SAME; one does; nothing is said
of it, though the container promises it.
"""


def damage(data: bytes, kind: str, rng: Random) -> bytes:
    """The data, damaged somewhere."""
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
    """What a station's source gives of a file; none where it cannot be opened."""
    try:
        source = open_source(SourceRequest(str(path)))
    except EdgeError:
        return []
    try:
        return [capture for capture in source.captures() if capture is not None]
    except EdgeError:  # said of the source, in one line, and the run ends with an error
        return []
    finally:
        source.close()


def outcomes(captures: Sequence[Capture], whole: Sequence[Frame], counts: bool = True) -> list[str]:
    """What became of each frame of the whole file. A file that is refused altogether is unknown in all of them.

    Where the container does not count its frames, one that is judged may be any of the whole file's.
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
    """Damage `count` files of a format, each made of one of the `parts`: "kind: outcome" of each of their frames."""
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
