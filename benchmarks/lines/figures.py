"""Measurements of the photographs of a rendered line."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge.bench import machine
from edge.demo.rendered_line import RenderedLine
from edge.demo.stamp import Pixels

PERCENTILES = (5, 50, 95)


@dataclass(frozen=True)
class Figures:
    """Figures of `parts` photographs of a line.

    `mean` and `deviation` are of red, green and blue over all pixels of the good photographs, of values 0..1.
    `within` is the deviation within one photograph, the mean of its channels', at `PERCENTILES`, and `count` the number
    of photographs, both for "good" and for each strength. `marked` is the median share of a bad photograph that its
    mask marks. `sizes` are (width, height) at the smallest and at the largest area, pixels. `cpu_ms` is the
    processor time of one part on `cpu`.
    """

    parts: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    within: dict[str, tuple[float, ...]]
    count: dict[str, int]
    marked: float
    sizes: tuple[tuple[int, int], tuple[int, int]]
    cpu_ms: float
    cpu: str

    def as_dict(self) -> dict[str, Any]:
        """The figures for JSON."""
        return asdict(self)


def within_deviation(frame: Pixels) -> float:
    """Deviation within one photograph `uint8 [H, W, 3]`, the mean of its channels', of values 0..1."""
    return float((frame / 255).std(axis=(0, 1)).mean())


def measure(line: RenderedLine, parts: int, progress: Callable[[], None] = lambda: None) -> Figures:
    """Render and measure the first `parts` parts; calls `progress` after each."""
    sums, squares, pixels = np.zeros(3), np.zeros(3), 0
    within: dict[str, list[float]] = defaultdict(list)
    marked, sizes, busy_s = [], [], 0.0
    for index in range(parts):
        began = time.process_time()
        photograph = line.render(index)
        busy_s += time.process_time() - began
        frame, defects = photograph.frame, photograph.part.defects
        sizes.append((frame.shape[1], frame.shape[0]))
        within[defects[0].strength if defects else "good"].append(within_deviation(frame))
        if defects:
            marked.append(float((line.mask_of(photograph.part) > 0).mean()))
        else:
            values = frame.reshape(-1, 3)[:, ::-1] / 255
            sums, squares, pixels = sums + values.sum(axis=0), squares + (values**2).sum(axis=0), pixels + len(values)
        progress()
    mean = sums / pixels
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    return Figures(
        parts=parts,
        mean=tuple(float(value) for value in mean),
        deviation=tuple(float(value) for value in np.sqrt(squares / pixels - mean**2)),
        within={
            kind: tuple(float(value) for value in np.percentile(values, PERCENTILES)) for kind, values in within.items()
        },
        count={kind: len(values) for kind, values in within.items()},
        marked=float(np.median(marked)) if marked else 0.0,
        sizes=(by_area[0], by_area[-1]),
        cpu_ms=1000 * busy_s / parts,
        cpu=str(machine()["cpu"]),
    )
