"""`python -m benchmarks.int8 BUNDLE_OR_RUN…`: int8 against float32 of the same network, in turns, in one run.

For a bundle, its int8 artifacts. For a run folder of edge-train, the upper bound of int8: all possible layers are in
int8 for OpenVINO, without a check of the verdicts.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import run_app
from edge.sources.size import parse_size

if TYPE_CHECKING:
    from edge.backends import Backend

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

WARM_UP = 10


@dataclass(frozen=True)
class Pair:
    """The same network twice, loaded for frames of `shape` (height, width)."""

    what: str
    backend: str
    shape: tuple[int, int]
    f32: "Backend"
    int8: "Backend"


@dataclass(frozen=True)
class Comparison:
    """Median latency of one inference in milliseconds; `ratio` is the speed-up by int8."""

    what: str
    backend: str
    size: str
    f32_ms: float
    int8_ms: float
    ratio: float


@app.command()
def int8(
    paths: Annotated[list[Path], typer.Argument(help="Bundles exported with --int8, or run folders.")],
    size: Annotated[
        str | None,
        typer.Option(
            help="Frame size, WIDTHxHEIGHT. If not given, that of the letterboxed picture: the network alone."
        ),
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames for each artifact.", min=10)] = 200,
    threads: Annotated[int, typer.Option(help="Threads of an inference.", min=1, max=256)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Measure int8 and float32 of the same network and runtime, frame by frame in turns."""
    from edge.bench import machine

    shape, found = None if size is None else parse_size(size), []
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            is_run = (path / "run.json").exists()
            pairs = of_run(path, shape, threads, Path(folder)) if is_run else of_bundle(path, shape, threads)
            for pair in pairs:
                found.append(compare(pair, frames))
                one = found[-1]
                print(
                    f"{one.what}  {one.backend}, {one.size}: float32 {one.f32_ms:.2f} ms, int8 {one.int8_ms:.2f} ms, "
                    f"{one.ratio:.2f}×",
                    file=sys.stderr,
                )
    if as_json:
        result = {"machine": machine(), "frames": frames, "threads": threads}
        print(json.dumps(result | {"comparisons": [asdict(one) for one in found]}))


def of_bundle(path: Path, shape: tuple[int, int] | None, threads: int) -> Iterator[Pair]:
    """Each int8 artifact with the float32 one of its runtime; prints which were refused."""
    from edge.backends import load_from
    from edge.bundle import load_bundle
    from edge.bundle.shipped import found_bundle

    bundle = load_bundle(found_bundle(path))
    artifacts, contract = bundle.manifest.artifacts, bundle.manifest.letterbox
    shape = shape or contract.holding(contract.side, contract.side)
    for name, reason in bundle.manifest.refused.items():
        print(f"{bundle.label}: {name} was refused: {reason}", file=sys.stderr)
    pairs = {name: one.backend for name, one in artifacts.items() if one.precision == "int8"}
    if not pairs and not bundle.manifest.refused:
        print(f"{bundle.label} has no int8 artifact: edge-export --int8 adds them", file=sys.stderr)
    for name, backend in pairs.items():
        f32, rounded = (load_from(bundle, one, threads, shape) for one in (backend, name))
        yield Pair(bundle.label, backend, shape, f32, rounded)


def of_run(path: Path, shape: tuple[int, int] | None, threads: int, folder: Path) -> Iterator[Pair]:
    """The network of a run with no layer and with every layer in int8, for OpenVINO."""
    from edge.backends import load_backend
    from edge.terminal.progress import Progress
    from export.graph import network_model, write_onnx
    from export.int8 import Layers, calibration
    from export.runtimes import RUNTIMES
    from export.runtimes.openvino import OpenVinoQuantizer
    from export.source import trained
    from train.run import load_run

    subject = trained(load_run(path))
    contract, f32, rounded = subject.contract, folder / "f32" / "model.xml", folder / "int8" / "model.xml"
    shape = shape or contract.holding(contract.side, contract.side)
    with Progress() as progress:
        stage = progress.begin
        photographs, _ = calibration(subject, stage)
        network = network_model(subject.network, contract.channels, contract.side)
        layers = Layers(subject, network.graph, photographs, stage)
        write_onnx(subject.network, contract, folder / "model.onnx", {})
        RUNTIMES["openvino"].write(folder / "model.onnx", f32, {})
        OpenVinoQuantizer(network, contract, photographs, {})(layers.integer(set()), rounded)
    both = (load_backend("openvino", one, threads, contract, shape) for one in (f32, rounded))
    yield Pair(f"{path.name}, all {len(layers.all)} layers", "openvino", shape, *both)


def compare(pair: Pair, frames: int) -> Comparison:
    """Medians over `frames` frames of the built-in line."""
    from edge.sources import SourceRequest
    from edge.sources.replay import FRAMES, ReplaySource

    stock = [ReplaySource(SourceRequest("replay", size=pair.shape)).capture(i).frame for i in range(FRAMES)]
    pictures = [frame for frame in stock if frame is not None]
    samples: dict[str, list[float]] = {"f32": [], "int8": []}
    for turn in range(WARM_UP + frames):
        for name, runtime in (("f32", pair.f32), ("int8", pair.int8)):
            begun = time.perf_counter_ns()
            runtime.infer(pictures[turn % len(pictures)])
            samples[name].append((time.perf_counter_ns() - begun) / 1e6)
    f32, rounded = (statistics.median(samples[name][WARM_UP:]) for name in samples)
    size = f"{pair.shape[1]}×{pair.shape[0]}"
    return Comparison(pair.what, pair.backend, size, f32, rounded, f32 / rounded)


if __name__ == "__main__":
    run_app(app)
