"""`python -m benchmarks.int8 BUNDLE…`: int8 against float32 artifacts of the same bundle, in turns, in one run."""

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import run_app
from edge.cli.size import parse_size

if TYPE_CHECKING:
    from edge.bundle import Bundle

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

WARM_UP = 10


@dataclass(frozen=True)
class Comparison:
    """Median latency of one inference in milliseconds; `ratio` is how many times faster int8 is."""

    bundle: str
    backend: str
    f32_ms: float
    int8_ms: float
    ratio: float


@app.command()
def int8(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles exported with --int8.")],
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT.")] = "1280x720",
    frames: Annotated[int, typer.Option(help="Frames for each artifact.", min=10)] = 200,
    threads: Annotated[int, typer.Option(help="Threads of an inference.", min=1, max=256)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Measure each int8 artifact and the float32 artifact of the same runtime, frame by frame in turns."""
    from edge.bench import machine
    from edge.bundle import load_bundle
    from edge.shipped import found_bundle

    shape, found = parse_size(size), []
    for bundle in map(load_bundle, map(found_bundle, bundles)):
        pairs = {a.backend: name for name, a in bundle.manifest.artifacts.items() if a.precision == "int8"}
        for name, reason in bundle.manifest.refused.items():
            print(f"{bundle.label}: {name} was refused: {reason}", file=sys.stderr)
        if not pairs and not bundle.manifest.refused:
            print(f"{bundle.label} has no int8 artifact: edge-export --int8 adds them", file=sys.stderr)
        for backend, name in pairs.items():
            found.append(compare(bundle, backend, name, shape, frames, threads))
            one = found[-1]
            print(
                f"{one.bundle}  {backend}: float32 {one.f32_ms:.2f} ms, int8 {one.int8_ms:.2f} ms, {one.ratio:.2f}×",
                file=sys.stderr,
            )
    if as_json:
        result = {"machine": machine(), "size": size, "frames": frames, "threads": threads}
        print(json.dumps(result | {"comparisons": [asdict(one) for one in found]}))


def compare(
    bundle: "Bundle", backend: str, int8_name: str, shape: tuple[int, int], frames: int, threads: int
) -> Comparison:
    """Medians over `frames` frames of the built-in line, of `shape` (height, width), the static variants."""
    from edge.backends import load_from
    from edge.sources import SourceRequest
    from edge.sources.replay import FRAMES, ReplaySource

    stock = [ReplaySource(SourceRequest("replay", size=shape)).capture(i).frame for i in range(FRAMES)]
    pictures = [frame for frame in stock if frame is not None]
    runtimes = {name: load_from(bundle, name, threads, shape) for name in (backend, int8_name)}
    samples: dict[str, list[float]] = {name: [] for name in runtimes}
    for turn in range(WARM_UP + frames):
        for name, runtime in runtimes.items():
            begun = time.perf_counter_ns()
            runtime.infer(pictures[turn % len(pictures)])
            samples[name].append((time.perf_counter_ns() - begun) / 1e6)
    f32, rounded = (statistics.median(samples[name][WARM_UP:]) for name in (backend, int8_name))
    return Comparison(bundle.label, backend, f32, rounded, f32 / rounded)


if __name__ == "__main__":
    run_app(app)
