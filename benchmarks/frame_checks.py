"""`python -m benchmarks.frame_checks`: the cost of the frame checks, compared with a plain copy of the frame.

Both are timed in turns on frames of the rendered line, on different frames, so that neither finds its pixels in the
cache because of the other, and load affects both equally.
"""

import json
import time
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer

from edge.bench import machine
from edge.cli import run_app
from edge.demo.line import DemoLine
from edge.errors import EdgeError
from edge.sources import Capture
from edge.sources.size import parse_size
from edge.station.capture.frame_checks import FrameChecks
from edge.station.part_counts import percentile

FRAMES = 24
"""Number of distinct pictures: 150 MB at 1080p, more than a cache holds."""

WARM_UP = 10
GOAL_MS = 0.3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Cost:
    """Milliseconds of one operation on a frame."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Costs:
    """The frame checks and a plain copy of the same frames, `size` (height, width), and the ratio of their medians."""

    size: tuple[int, int]
    rounds: int
    truth: Cost
    copy: Cost
    ratio: float


def measure(size: tuple[int, int] = (1080, 1920), rounds: int = 1000) -> Costs:
    """Time both in turns. Raises EdgeError if a frame fails the checks, which are then not run completely."""
    line = DemoLine(size=size)
    frames = [line.render(index).frame for index in range(FRAMES)]
    ring, asked = np.empty_like(frames[0]), FrameChecks(stale_ms=1000)
    took: dict[str, list[float]] = {"truth": [], "copy": []}
    for turn in range(WARM_UP + rounds):
        frame, other = frames[turn % FRAMES], frames[(turn + FRAMES // 2) % FRAMES]
        capture = Capture(turn, "frame", frame, time.monotonic_ns())
        moments = [time.perf_counter_ns()]
        doubt = asked.check(capture)
        moments.append(time.perf_counter_ns())
        ring[...] = other
        moments.append(time.perf_counter_ns())
        if doubt is not None:
            raise EdgeError(f"a picture of the rendered line was doubted: {doubt}")
        if turn >= WARM_UP:
            took["truth"].append((moments[1] - moments[0]) / 1e6)
            took["copy"].append((moments[2] - moments[1]) / 1e6)
    truth, copy = (_cost(took[name]) for name in ("truth", "copy"))
    return Costs(size, rounds, truth, copy, truth.p50_ms / copy.p50_ms)


def _cost(samples_ms: list[float]) -> Cost:
    ascending = sorted(samples_ms)
    p50, p99 = (percentile(ascending, percent) for percent in (50, 99))
    assert p50 is not None
    assert p99 is not None
    return Cost(p50, p99)


@app.command()
def truth(
    size: Annotated[str, typer.Option(help="Frame, WIDTHxHEIGHT.")] = "1920x1080",
    rounds: Annotated[int, typer.Option(help="Frames of each measurement.", min=10)] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Measure frame truth beside a copy of the frame."""
    costs = measure(parse_size(size), rounds)
    if as_json:
        print(json.dumps({"machine": machine(), **asdict(costs)}))
    else:
        print(describe(costs))


def describe(costs: Costs) -> str:
    """The result in one sentence."""
    height, width = costs.size
    goal = "within" if costs.truth.p50_ms <= GOAL_MS else "over"
    return (
        f"Frame truth, asked of each live frame before a model sees it, takes {costs.truth.p50_ms:.3f} ms of a "
        f"{width}×{height} frame (p50; p99 {costs.truth.p99_ms:.3f}), {goal} the {GOAL_MS:g} ms that are its goal; a "
        f"plain copy of such a frame {costs.copy.p50_ms:.3f} ms (p99 {costs.copy.p99_ms:.3f}), measured in turns on "
        f"{costs.rounds} frames."
    )


if __name__ == "__main__":
    run_app(app)
