"""`python -m benchmarks.letterbox`: the letterbox in the graph against the same work on the host, side by side.

The host code is typical: `cv2.resize(INTER_AREA)`, padding, then BGR to RGB, float32, normalisation and NCHW. The graph
takes the unchanged frame. Both are timed in turns, so that load affects all equally.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.host import opencv_letterbox
from edge.bench import machine
from edge.cli import run_app
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract

CASES = (((1080, 1920), 224), ((2048, 2448), 224), ((2048, 2448), 320), ((1080, 1920), 320))
"""((height, width) of the frame, side). The last reduces by an integer factor, for which OpenCV has a special path."""

FILTERS = ("box", "antialias")
RUNTIMES = ("openvino", "onnxruntime")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WARM_UP = 5

Run = Callable[[Frame], object]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Row:
    """One frame size and side: the medians of the host and of one runtime's graph, in milliseconds."""

    width: int
    height: int
    side: int
    filter: str
    runtime: str
    host_ms: float
    graph_ms: float
    ratio: float


@app.command()
def compare(
    rounds: Annotated[int, typer.Option(help="Frames of each measurement.", min=3)] = 60,
    threads: Annotated[int, typer.Option(help="Threads of every one.", min=1, max=256)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Measure the letterbox of the graph, compiled for its frame size, against that of the host."""
    from rich.progress import Progress
    from rich.table import Table

    from edge.terminal.console import Console

    cv2.setNumThreads(threads)
    console = Console(stderr=True)
    rows: list[Row] = []
    with TemporaryDirectory() as folder, Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=len(CASES) * (rounds + WARM_UP))
        for shape, side in CASES:
            runs: dict[tuple[str, str], Run] = {("host", ""): opencv_letterbox(shape, side, MEAN, STD)}
            for runtime in RUNTIMES:
                for filter_ in FILTERS:
                    contract = LetterboxContract(side=side, filter=filter_, mean=MEAN, std=STD)
                    runs[runtime, filter_] = graph(runtime, contract, shape, threads, Path(folder))
            medians = in_turns(runs, shape, rounds, lambda: progress.advance(task))
            rows += [
                Row(shape[1], shape[0], side, filter_, runtime, ours := medians["host", ""], ms, ms / ours)
                for (runtime, filter_), ms in medians.items()
                if runtime != "host"
            ]
    if as_json:
        print(json.dumps({"machine": machine(), "threads": threads, "rows": [asdict(row) for row in rows]}))
        return
    table = Table(title=f"letterbox, {threads} threads, {rounds} frames each, {machine()['cpu']}")
    for column in ("frame", "side", "filter", "runtime", "host ms", "graph ms", "graph / host"):
        table.add_column(column, justify="right" if column.endswith(("ms", "host")) else "left")
    for row in rows:
        figures = (f"{row.host_ms:.2f}", f"{row.graph_ms:.2f}", f"{row.ratio:.2f}")
        table.add_row(f"{row.width}×{row.height}", str(row.side), row.filter, row.runtime, *figures)
    Console().print(table)


def in_turns(
    runs: dict[tuple[str, str], Run], shape: tuple[int, int], rounds: int, tick: Callable[[], None]
) -> dict[tuple[str, str], float]:
    """Median milliseconds of each on noise, one after the other in every round."""
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    samples: dict[tuple[str, str], list[float]] = {name: [] for name in runs}
    for turn in range(WARM_UP + rounds):
        for name, run in runs.items():
            begun = time.perf_counter_ns()
            run(frame)
            if turn >= WARM_UP:
                samples[name].append((time.perf_counter_ns() - begun) / 1e6)
        tick()
    return {name: statistics.median(times) for name, times in samples.items()}


def graph(runtime: str, contract: LetterboxContract, shape: tuple[int, int], threads: int, folder: Path) -> Run:
    """The letterbox alone as its graph, compiled for `shape` as the station's backends compile it."""
    from export.letterbox_graph import letterbox_model

    path = folder / f"{runtime}-{contract.filter}-{contract.side}.onnx"
    path.write_bytes(letterbox_model(contract).SerializeToString())
    return _openvino(path, contract, shape, threads) if runtime == "openvino" else _onnxruntime(path, shape, threads)


def _openvino(path: Path, contract: LetterboxContract, shape: tuple[int, int], threads: int) -> Run:
    import openvino as ov

    from edge.backends.runtimes.openvino_letterbox import use_fast_letterbox

    core = ov.Core()
    model = core.read_model(path)
    model.reshape({"frame": [1, *shape, 3]})
    use_fast_letterbox(model, shape, contract)
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(frame: Frame) -> object:
        return request.infer({"frame": ov.Tensor(frame[np.newaxis], shared_memory=True)}, share_inputs=True)

    return run


def _onnxruntime(path: Path, shape: tuple[int, int], threads: int) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for axis, pixels in zip(("height", "width"), shape, strict=True):
        options.add_free_dimension_override_by_name(axis, pixels)
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda frame: session.run(["image"], {"frame": frame[np.newaxis]})


if __name__ == "__main__":
    run_app(app)
