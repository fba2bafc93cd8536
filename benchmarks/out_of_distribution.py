"""`python -m benchmarks.out_of_distribution`: pictures that the shipped bundles find unlike their training photographs.

The test photographs of a bundle's own line, photographs of other lines, and its own ones changed; and what the
comparison costs. EDGE_DATA names the folder of the magnetic tiles; photographs of solar cells are taken from the folder
beside it, if there are any. Writes docs/reports/out-of-distribution.md.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.markdown import machine_words, paragraph, table
from benchmarks.script import Steps, opened, steps
from edge.bench import machine
from edge.bundle.input_distance import InputDistance
from edge.bundle.input_statistics import InputStatistics
from edge.cli import run_app
from edge.demo.line import DemoLine
from edge.demo.lines import split_lines
from edge.demo.photographs import write_photographs
from edge.errors import BundleError, DataError
from edge.frame import Frame
from edge.photographs.listing import read_listing
from edge.photographs.photograph import Photograph, read_photograph
from edge.station.part_counts import percentile

Change = Callable[[Frame], Frame]

GREY, NOISE = (32, 64, 128, 192, 224), 5
"""Grey levels of the blank pictures, and the number of noise pictures."""

SIZES = ((720, 1280), (1080, 1920))
WARM_UP, FRAMES = 50, 24
PERCENTS = (5, 50, 99)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _brighter(factor: float) -> Change:
    return lambda frame: cv2.convertScaleAbs(frame, alpha=factor).astype(np.uint8)


def _blurred(share: float) -> Change:
    return lambda frame: np.asarray(cv2.GaussianBlur(frame, (0, 0), share * max(frame.shape)), np.uint8)


def _resized(factor: float) -> Change:
    filtering = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return lambda frame: np.asarray(cv2.resize(frame, None, fx=factor, fy=factor, interpolation=filtering), np.uint8)


def _compressed(frame: Frame) -> Frame:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR))


CHANGES: dict[str, Change] = {
    "own, half as bright": _brighter(0.5),
    "own, twice as bright": _brighter(2.0),
    "own, a quarter brighter": _brighter(1.25),
    "own, blurred by 0.3 % of the longer side": _blurred(0.003),
    "own, blurred by 1 % of the longer side": _blurred(0.01),
    "own, turned by 90°": lambda frame: np.ascontiguousarray(np.rot90(frame)),
    "own, upside down": lambda frame: np.ascontiguousarray(frame[::-1, ::-1]),
    "own, at half the size": _resized(0.5),
    "own, at 1.5 times the size": _resized(1.5),
    "own, as JPEG of quality 50": _compressed,
}


@dataclass(frozen=True)
class Row:
    """How many of these pictures are beyond a bundle's limit, and the median and the lowest of their distances."""

    bundle: str
    pictures: str
    unlike: int
    count: int
    median_distance: float
    lowest_distance: float


@dataclass(frozen=True)
class Cost:
    """Processor time of each step, in microseconds: its 5th, 50th and 99th percentile.

    `rows` is the copy of the rows, `comparison` what follows, `frame` a copy of the whole frame.
    """

    size: tuple[int, int]
    rows: tuple[float, ...]
    comparison: tuple[float, ...]
    frame: tuple[float, ...]


@app.command()
def unlike(
    parts: Annotated[int, typer.Option(help="Rendered test photographs.", min=10)] = 1000,
    rounds: Annotated[int, typer.Option(help="Frames of each measurement of the cost.", min=100)] = 4000,
    docs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write out-of-distribution.md into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Compare pictures of all lines with the training photographs of each shipped bundle."""
    tiles = Path(os.environ.get("EDGE_DATA", ""))
    if not os.environ.get("EDGE_DATA"):
        raise DataError("EDGE_DATA does not name the folder of the magnetic tiles")
    about, limits, rows = machine(), dict[str, InputStatistics](), list[Row]()
    with tempfile.TemporaryDirectory(prefix="out-of-distribution-") as folder, steps(None) as step:
        step("rendering")
        rendered = Path(folder) / "demo"
        write_photographs(rendered, split_lines("plates"), {"test": parts})
        lines = {"demo": _test(rendered), "magnetic-tile": _test(tiles)}
        others = _solar(tiles.parent / "solar-cell")
        for name in lines:
            comparison, limits[name] = _opened(name)
            rows += _rows(name, comparison, limits[name].limit, lines, others, step)
        cost = [_cost(_opened("demo")[0], size, rounds) for size in SIZES]
    page = render(rows, limits, cost, about)
    if docs is not None:
        (docs / "out-of-distribution.md").write_text(page, encoding="utf-8")
    result = {"machine": about, "rows": [asdict(row) for row in rows], "cost": [asdict(one) for one in cost]}
    print(json.dumps(result) if as_json else page)


def _test(data: Path) -> list[Photograph]:
    return read_listing(data).splits["test"]


def _solar(folder: Path) -> dict[str, list[Photograph]]:
    """Photographs of solar cells; empty if there are none."""
    kinds = [folder / kind for kind in ("mono", "poly") if (folder / kind).is_dir()]
    return {"solar cells": [photograph for kind in kinds for photograph in _test(kind)]} if kinds else {}


def _opened(name: str) -> tuple[InputDistance, InputStatistics]:
    manifest = opened(Path(name)).manifest
    comparison = InputDistance.of(manifest)
    if comparison is None or manifest.input_statistics is None:
        raise BundleError(f"{name} has no statistics of its photographs; edge-export --bundle adds them")
    return comparison, manifest.input_statistics


def _rows(
    name: str,
    comparison: InputDistance,
    limit: float,
    lines: dict[str, list[Photograph]],
    others: dict[str, list[Photograph]],
    step: Steps,
) -> Iterator[Row]:
    """The rows of one bundle."""

    def row(pictures: str, frames: Iterable[Frame]) -> Row:
        step(f"{name}: {pictures}")
        distances = [comparison.measure_frame(frame).distance for frame in frames]
        beyond = sum(distance > limit for distance in distances)
        return Row(name, pictures, beyond, len(distances), median(distances), min(distances))

    own = lines[name]
    yield row("own, test", map(read_photograph, own))
    if name == "demo":
        line = DemoLine()
        yield row("own, as a station sees them", (line.render(index).frame for index in range(len(own))))
    for other, photographs in {**lines, **others}.items():
        if other != name:
            yield row(other, map(read_photograph, photographs))
    rng = np.random.default_rng(0)
    size = (*SIZES[0], 3)
    yield row("blank grey", (np.full(size, level, np.uint8) for level in GREY))
    yield row("noise", (rng.integers(0, 256, size, dtype=np.uint8) for _ in range(NOISE)))
    for change, changed in CHANGES.items():
        yield row(change, (changed(read_photograph(photograph)) for photograph in own))


def _cost(comparison: InputDistance, size: tuple[int, int], rounds: int) -> Cost:
    """Time the steps in turns, on different frames, so that none finds its pixels in the cache because of another."""
    line = DemoLine(size=size)
    frames = [line.render(index).frame for index in range(FRAMES)]
    ring = np.empty_like(frames[0])
    copied, compared, whole = list[float](), list[float](), list[float]()
    for turn in range(WARM_UP + rounds):
        frame, other = frames[turn % FRAMES], frames[(turn + FRAMES // 2) % FRAMES]
        moments = [time.thread_time_ns()]
        rows = comparison.copy_rows(frame)
        moments.append(time.thread_time_ns())
        comparison.measure(rows)
        moments.append(time.thread_time_ns())
        ring[...] = other
        moments.append(time.thread_time_ns())
        if turn >= WARM_UP:
            for samples, begun, ended in zip((copied, compared, whole), moments[:-1], moments[1:], strict=True):
                samples.append((ended - begun) / 1e3)
    return Cost(size, _percentiles(copied), _percentiles(compared), _percentiles(whole))


def _percentiles(samples: list[float]) -> tuple[float, ...]:
    ascending = sorted(samples)
    return tuple(percentile(ascending, percent) or 0.0 for percent in PERCENTS)


def render(rows: list[Row], limits: dict[str, InputStatistics], cost: list[Cost], about: dict[str, Any]) -> str:
    """The page."""
    said = [
        "# Pictures unlike the training photographs\n",
        paragraph(
            "Written by `python -m benchmarks.out_of_distribution --docs docs/reports`; no figure on this page was "
            "typed by a person. A picture is unlike the training photographs if its distance is beyond the limit in "
            "the bundle's manifest: [Verify a bundle](../guide/verification.md). Blank pictures are here for "
            "completeness: a station calls them `unknown` before that."
        ),
    ]
    for name, statistics in limits.items():
        said += [
            f"## {name}.edge\n",
            paragraph(
                f"Statistics of {statistics.data}. The limit is {statistics.limit:.2f} ({statistics.strategy}); "
                f"{statistics.beyond} of the {statistics.held_out} validation photographs are beyond it."
            ),
            table(
                ("pictures", "unlike", "of", "share", "median distance", "lowest"),
                [_cells(row) for row in rows if row.bundle == name],
            ),
        ]
    head = ("frame", "step", *(f"p{percent}" for percent in PERCENTS))
    said += [
        "## What it costs\n",
        paragraph(
            "Processor time in microseconds, on one core. A station copies the rows before it sends the result of a "
            "part, and compares them afterwards. A copy of the whole frame, in turns with these, tells how fast and "
            "how busy this machine was; the fifth percentile is what it takes undisturbed."
        ),
        table(head, [row for one in cost for row in _cost_rows(one)], words=2),
        paragraph(f"{machine_words(about)}."),
    ]
    return "\n".join(said)


def _cells(row: Row) -> tuple[str, ...]:
    counts = row.pictures, str(row.unlike), str(row.count), f"{row.unlike / row.count:.3f}"
    return (*counts, f"{row.median_distance:.1f}", f"{row.lowest_distance:.1f}")


def _cost_rows(cost: Cost) -> list[tuple[str, ...]]:
    height, width = cost.size
    steps = (("copy of the rows", cost.rows), ("comparison", cost.comparison), ("copy of the whole frame", cost.frame))
    return [(f"{width}×{height}", name, *(f"{time:.0f}" for time in times)) for name, times in steps]


if __name__ == "__main__":
    run_app(app)
