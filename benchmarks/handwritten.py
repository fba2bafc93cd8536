"""`python -m benchmarks.handwritten`: a whole station against programs as people write them, in turns.

Each program runs in its own process, on the same frames, with the same number of threads, and is timed from the frame
in its memory to the score. The station is timed over the whole way: from the frame in memory to the verdict decoded in
another process.
"""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from benchmarks import line, script
from benchmarks.comparison import Contestant, figures, frames_for, in_turns, ratio, set_up
from benchmarks.markdown import goal, paragraph, table
from edge.cli import run_app
from edge.sources.size import parse_size

WRITTEN = {
    "torch_densenet": "PIL letterbox to 224, DenseNet-121 in PyTorch",
    "torch_shipped": "PIL letterbox, the same network in PyTorch",
    "onnxruntime_host": "OpenCV letterbox, the same network in ONNX Runtime",
    "openvino_host": "OpenCV letterbox, the same network in OpenVINO",
}
"""Contestants of `benchmarks.contestants`."""

OURS = "ours"
TIMES, P50_MS, P99_MS = 15, 6, 9
ROUNDS, ROUND_S, MOST = 6, 1.5, 150

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def written(
    bundle: script.BundleOption = script.DEFAULT_BUNDLE,
    size: str = "1920x1080",
    threads: script.ThreadsOption = 2,
    quick: script.QuickOption = False,
    out: script.OutOption = None,
) -> None:
    """Measure the whole way against what people write."""
    result = measure(bundle, parse_size(size), threads, quick)
    script.finish(result, section(result), out)


def measure(bundle: Path, shape: tuple[int, int], threads: int, quick: bool = False) -> dict[str, Any]:
    """All measurements; see `section`. Raises EdgeError if a contestant does not run."""
    opened, rounds = script.opened(bundle), 1 if quick else ROUNDS
    result = script.about(threads, quick) | {"bundle": opened.label, "height": shape[0], "width": shape[1]}
    names = ["torch_densenet", "onnxruntime_host"] if quick else list(WRITTEN)
    with TemporaryDirectory() as folder, ExitStack() as stack, script.steps(rounds * (len(names) + 1)) as step:
        setup = set_up(opened, shape, threads, Path(folder))
        contestants = {name: stack.enter_context(Contestant(replace(setup, name=name))) for name in names}
        ours = {OURS: lambda count: line.run_station(opened.path, shape, count, threads).whole_ms}
        counts = {name: 3 if quick else frames_for(one, ROUND_S, MOST) for name, one in contestants.items()}
        found = in_turns(ours | contestants, rounds, {OURS: 20 if quick else MOST} | counts, step)
    result["ours"] = figures(found[OURS])
    result["rows"] = [
        {"name": name, "what": WRITTEN[name], "times": ratio(found[name], found[OURS]), **figures(found[name])}
        for name in names
    ]
    return result


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Goals for the ratio to the experiments' own program, and for the whole way."""
    size = f"{result['width']}×{result['height']}"
    times = next(one["times"] for one in result["rows"] if one["name"] == "torch_densenet")
    return [
        goal(f"PIL and DenseNet-121 in PyTorch / whole way, {size},", times, TIMES, "", at_least=True, digits=1),
        goal(f"whole way p50, {size},", result["ours"]["p50_ms"], P50_MS, " ms"),
        goal(f"whole way p99, {size},", result["ours"]["p99_ms"], P99_MS, " ms"),
    ]


def section(result: dict[str, Any]) -> str:
    """This measurement's section of the page."""
    ours = ("**edge-inspect, the whole way**", "**1.0**", *_latency(result["ours"]))
    rows = [(one["what"], f"{one['times']:.1f}", *_latency(one)) for one in result["rows"]]
    return "\n".join(
        [
            "## What people write\n",
            paragraph(
                f"Frames of {result['width']}×{result['height']}, {result['threads']} threads, {result['bundle']}; in "
                "turns. Each program ends with the score in its own memory; ours is a whole station, and ends with the "
                "verdict decoded in another process. The weights of the networks in PyTorch are random, which costs "
                "the same time."
            ),
            table(("", "times as long as ours", "p50 ms", "p99 ms", "frames"), [ours, *rows]),
        ]
    )


def _latency(one: dict[str, float]) -> tuple[str, str, str]:
    return f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}", f"{one['count']:.0f}"


if __name__ == "__main__":
    run_app(app)
