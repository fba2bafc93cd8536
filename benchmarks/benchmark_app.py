"""`python -m benchmarks.benchmark_app`: a whole station against the machine's limit, in turns, in one run.

OpenVINO's own `benchmark_app` runs the same graph that a station compiles for its camera, in a loop without anything
else; the station does everything else too: frames from another process, deadlines, verdicts, sockets. benchmark_app
runs as installed, and once more with the CPU instructions that the station chooses, which separates their gain from the
station's cost. The lower bound is one copy of the frame in memory.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from benchmarks import line, script
from benchmarks.comparison import CannotRunError, Contestant, Turn, figures, in_turns, ratio, set_up
from benchmarks.markdown import goal, paragraph, table
from edge.backends import computes_float32
from edge.backends.options import Options
from edge.backends.runtimes.openvino import ISA, WITHOUT_AMX
from edge.bundle import Bundle
from edge.cli import run_app

CASES = (("demo", (1080, 1920)), ("demo", (720, 1280)), ("magnetic-tile", (1080, 1920)))
"""Bundle, and (height, width) of the frame."""

GOAL = 0.97
APP, ALIKE = "benchmark_app", "benchmark_app alike"
ROUNDS, APP_S, FRAMES = 5, 2, 200

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def floor(threads: script.ThreadsOption = 2, quick: script.QuickOption = False, out: script.OutOption = None) -> None:
    """Measure a station, its graph alone, benchmark_app both ways and a copy of the frame."""
    result = measure(threads, quick)
    script.finish(result, section(result), out)


def measure(threads: int, quick: bool = False) -> dict[str, Any]:
    """All measurements; see `section`. Raises EdgeError if a contestant does not run."""
    rounds, cases = (1, CASES[1:2]) if quick else (ROUNDS, CASES)
    result = script.about(threads, quick)
    with script.steps(rounds * len(cases) * 5) as step:
        result["rows"] = [_compare(name, shape, threads, rounds, quick, step) for name, shape in cases]
    return result


def _compare(
    name: str, shape: tuple[int, int], threads: int, rounds: int, quick: bool, step: script.Steps
) -> dict[str, Any]:
    bundle, frames, stations = script.opened(Path(name)), 30 if quick else FRAMES, list[float]()
    apps: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        setup = set_up(bundle, shape, threads, Path(folder))
        graph = write_graph(bundle, shape, Path(folder))

        def station(count: int) -> list[float]:
            heard = line.run_station(bundle.path, shape, count, threads, backend=openvino_artifact(bundle))
            stations.append(heard.frames_per_s)
            return heard.whole_ms

        def application(name: str, environment: Mapping[str, str]) -> Turn:
            def run(seconds: int) -> list[float]:
                found = benchmark_app(graph, threads, seconds, Path(folder), environment)
                apps.setdefault(name, []).append(found["throughput"])
                return [found["median_ms"]]

            return run

        with Contestant(replace(setup, name="ours")) as bare, Contestant(replace(setup, name="memory")) as memory:
            ways = {APP: {}, ALIKE: instructions(bundle, threads)}
            turns: dict[str, Turn] = {way: application(way, chosen) for way, chosen in ways.items()}
            turns |= {"station": station, "bare": bare, "memory": memory}
            counts = dict.fromkeys(turns, frames) | dict.fromkeys(ways, 1 if quick else APP_S)
            found = in_turns(turns, rounds, counts, lambda who: step(f"{name} {shape[1]}×{shape[0]}: {who}"))
    return {
        "bundle": name,
        "height": shape[0],
        "width": shape[1],
        "instructions": ways[ALIKE],
        "station_to_app": _times(stations, apps[APP]),
        "station_to_alike": _times(stations, apps[ALIKE]),
        "bare_to_alike": 1 / ratio(found["bare"], found[ALIKE]),
        "station_frames_per_s": statistics.median(stations),
        "app_frames_per_s": statistics.median(apps[APP]),
        "alike_frames_per_s": statistics.median(apps[ALIKE]),
        "app_ms": statistics.median(sample for one in found[APP] for sample in one),
        "alike_ms": statistics.median(sample for one in found[ALIKE] for sample in one),
        **{way: figures(found[way]) for way in ("station", "bare", "memory")},
    }


def _times(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of the ratio of two throughputs."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def instructions(bundle: Bundle, threads: int) -> dict[str, str]:
    """The station's environment variables for this bundle, unless the user has set them; see `pass_over_amx`."""
    chooses = ISA not in os.environ and computes_float32([bundle.artifact(openvino_artifact(bundle))], Options(threads))
    return {ISA: WITHOUT_AMX} if chooses else {}


def openvino_artifact(bundle: Bundle) -> str:
    """Name of the float32 artifact for OpenVINO, or of the ONNX one if both runtimes share a file."""
    artifacts = bundle.manifest.artifacts
    return next(name for name, one in artifacts.items() if one.backend == "openvino" and one.precision == "f32")


def write_graph(bundle: Bundle, shape: tuple[int, int], folder: Path) -> Path:
    """The static graph that a station compiles for frames of `shape` (height, width), as OpenVINO's file."""
    import openvino as ov

    from edge.backends.runtimes.openvino_letterbox import use_fast_letterbox

    model = ov.Core().read_model(bundle.path / bundle.artifact(openvino_artifact(bundle)).path)
    model.reshape({"frame": [1, *shape, 3]})
    use_fast_letterbox(model, shape, bundle.manifest.letterbox)
    ov.save_model(model, folder / "static.xml", compress_to_fp16=False)
    return folder / "static.xml"


def benchmark_app(
    graph: Path, threads: int, seconds: int, folder: Path, environment: Mapping[str, str]
) -> Mapping[str, float]:
    """The results of benchmark_app: `throughput`, frames per second, and `median_ms`. Raises CannotRunError.

    `environment` is added to the environment of this process.
    """
    settings = folder / "settings.json"  # its -nthreads is incompatible with its -hint
    settings.write_text(json.dumps({"CPU": {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}}))
    options = {"-m": graph, "-d": "CPU", "-hint": "latency", "-api": "sync", "-nireq": 1, "-load_config": settings}
    options |= {"-t": seconds, "-report_type": "no_counters", "-report_folder": folder}
    arguments = [str(part) for pair in options.items() for part in pair] + ["-json_stats"]
    start = "import sys; from openvino.tools.benchmark.main import main; sys.exit(main())"
    command = [sys.executable, "-c", start, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    report = folder / "benchmark_report.json"
    if done.returncode or not report.exists():
        lines = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
        raise CannotRunError(f"benchmark_app does not run: {lines[-1]}; it comes with openvino")
    said: dict[str, Any] = json.loads(report.read_text())["execution_results"]
    report.unlink()
    return {"throughput": float(said["throughput"]), "median_ms": float(said["latency (ms)"])}


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Goals for the station's throughput, with and without the effect of its choice of instructions."""
    ways = {"station_to_app": "", "station_to_alike": " with the station's instructions"}
    return [
        goal(
            f"frames/s of station / benchmark_app{words}, {one['bundle']} at {one['width']}×{one['height']},",
            one[way], GOAL, "", at_least=True,
        )
        for one in result["rows"]
        for way, words in ways.items()
    ]  # fmt: skip


def section(result: dict[str, Any]) -> str:
    """This measurement's section of the page."""
    rows = [
        (
            f"{one['bundle']}, {one['width']}×{one['height']}",
            f"**{one['station_to_app']:.2f}**",
            f"**{one['station_to_alike']:.2f}**",
            f"{one['bare_to_alike']:.2f}",
            f"{one['station_frames_per_s']:.0f}",
            f"{one['app_frames_per_s']:.0f}",
            f"{one['alike_frames_per_s']:.0f}",
            f"{one['station']['p50_ms']:.2f}",
            f"{one['bare']['p50_ms']:.2f}",
            f"{one['app_ms']:.2f}",
            f"{one['alike_ms']:.2f}",
            f"{one['memory']['p50_ms']:.2f}",
        )
        for one in result["rows"]
    ]
    head: tuple[str, ...] = ("", "station / benchmark_app", "station / alike", "graph / alike", "station, frames/s")
    head += ("benchmark_app, frames/s", "alike, frames/s", "whole way, ms", "graph alone, ms", "benchmark_app, ms")
    said = " ".join(f"`{name}={value}`" for name, value in result["rows"][0]["instructions"].items()) or "nothing"
    return "\n".join(
        [
            "## The floor\n",
            paragraph(
                "A whole station against OpenVINO's own `benchmark_app` (latency hint, one request, float32) on the "
                "very graph that the station compiles, in turns. 1.00 would be a station whose cameras, deadlines, "
                "verdicts and sockets cost nothing. The graph alone is that of the station's inference process, "
                "called in a loop; the copy of one frame is the floor of the memory. *Alike* is benchmark_app once "
                f"more, with what the station chooses for itself in the environment: {said}."
            ),
            table((*head, "alike, ms", "copy, ms"), rows),
        ]
    )


if __name__ == "__main__":
    run_app(app)
