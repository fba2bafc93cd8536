"""`python -m benchmarks.floor`: a whole station against what the machine can do at all, in turns, in one run.

OpenVINO's own `benchmark_app` runs the very graph that a station compiles for its camera, in a loop that does nothing
else; the station does everything else too: frames from another process, deadlines, verdicts, sockets. Below both lies
the memory: one copy of the frame.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from benchmarks import line, script
from benchmarks.contest import CannotRunError, Contestant, Turn, figures, in_turns, ratio, set_up
from benchmarks.markdown import goal, paragraph, table
from edge.bundle import Bundle
from edge.cli import run_app

CASES = (("demo", (1080, 1920)), ("demo", (720, 1280)), ("magnetic-tile", (1080, 1920)))
"""Bundle, and (height, width) of the frame."""

GOAL = 0.97
ROUNDS, APP_S, FRAMES = 5, 2, 200

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def floor(threads: script.ThreadsOption = 2, quick: script.QuickOption = False, out: script.OutOption = None) -> None:
    """Measure a station, its graph alone, benchmark_app and a copy of the frame."""
    result = measure(threads, quick)
    script.finish(result, section(result), out)


def measure(threads: int, quick: bool = False) -> dict[str, Any]:
    """Everything found; see `section`. Raises EdgeError if something does not run."""
    rounds, cases = (1, CASES[1:2]) if quick else (ROUNDS, CASES)
    result = script.about(threads, quick)
    with script.steps(rounds * len(cases) * 4) as step:
        result["rows"] = [_compare(name, shape, threads, rounds, quick, step) for name, shape in cases]
    return result


def _compare(
    name: str, shape: tuple[int, int], threads: int, rounds: int, quick: bool, step: script.Steps
) -> dict[str, Any]:
    bundle, frames, stations, apps = script.opened(Path(name)), 30 if quick else FRAMES, [], []
    with TemporaryDirectory() as folder:
        setup = set_up(bundle, shape, threads, Path(folder))
        graph = write_graph(bundle, shape, Path(folder))

        def station(count: int) -> list[float]:
            heard = line.run_station(bundle.path, shape, count, threads, backend=openvino_artifact(bundle))
            stations.append(heard.frames_per_s)
            return heard.whole_ms

        def application(seconds: int) -> list[float]:
            found = benchmark_app(graph, threads, seconds, Path(folder))
            apps.append(found["throughput"])
            return [found["median_ms"]]

        with Contestant(replace(setup, name="ours")) as bare, Contestant(replace(setup, name="memory")) as memory:
            turns: dict[str, Turn] = {"benchmark_app": application, "station": station, "bare": bare, "memory": memory}
            counts = dict.fromkeys(turns, frames) | {"benchmark_app": 1 if quick else APP_S}
            found = in_turns(turns, rounds, counts, lambda who: step(f"{name} {shape[1]}×{shape[0]}: {who}"))
    return {
        "bundle": name,
        "height": shape[0],
        "width": shape[1],
        "station_to_app": statistics.median(ours / theirs for ours, theirs in zip(stations, apps, strict=True)),
        "bare_to_app": 1 / ratio(found["bare"], found["benchmark_app"]),
        "station_frames_per_s": statistics.median(stations),
        "app_frames_per_s": statistics.median(apps),
        "app_ms": statistics.median(sample for one in found["benchmark_app"] for sample in one),
        **{way: figures(found[way]) for way in ("station", "bare", "memory")},
    }


def openvino_artifact(bundle: Bundle) -> str:
    """The float32 artifact that OpenVINO runs, or the ONNX one if there is but one file for both."""
    artifacts = bundle.manifest.artifacts
    return next(name for name, one in artifacts.items() if one.backend == "openvino" and one.precision == "f32")


def write_graph(bundle: Bundle, shape: tuple[int, int], folder: Path) -> Path:
    """The static graph that a station compiles for frames of `shape` (height, width), as OpenVINO's file."""
    import openvino as ov

    from edge.backends.openvino_letterbox import use_fast_letterbox

    model = ov.Core().read_model(bundle.path / bundle.artifact(openvino_artifact(bundle)).path)
    model.reshape({"frame": [1, *shape, 3]})
    use_fast_letterbox(model, shape, bundle.manifest.letterbox)
    ov.save_model(model, folder / "static.xml", compress_to_fp16=False)
    return folder / "static.xml"


def benchmark_app(graph: Path, threads: int, seconds: int, folder: Path) -> Mapping[str, float]:
    """What benchmark_app reports: `throughput`, frames a second, and `median_ms`. Raises CannotRunError."""
    settings = folder / "settings.json"  # its -nthreads does not go with its -hint
    settings.write_text(json.dumps({"CPU": {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}}))
    options = {"-m": graph, "-d": "CPU", "-hint": "latency", "-api": "sync", "-nireq": 1, "-load_config": settings}
    options |= {"-t": seconds, "-report_type": "no_counters", "-report_folder": folder}
    arguments = [str(part) for pair in options.items() for part in pair] + ["-json_stats"]
    start = "import sys; from openvino.tools.benchmark.main import main; sys.exit(main())"
    command = [sys.executable, "-c", start, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    report = folder / "benchmark_report.json"
    if done.returncode or not report.exists():
        lines = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
        raise CannotRunError(f"benchmark_app does not run: {lines[-1]}; it comes with openvino")
    said: dict[str, Any] = json.loads(report.read_text())["execution_results"]
    report.unlink()
    return {"throughput": float(said["throughput"]), "median_ms": float(said["latency (ms)"])}


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the station's throughput."""
    names = (f"{one['bundle']} at {one['width']}×{one['height']}" for one in result["rows"])
    return [
        goal(f"frames/s of station / benchmark_app, {name},", one["station_to_app"], GOAL, "", at_least=True)
        for name, one in zip(names, result["rows"], strict=True)
    ]


def section(result: dict[str, Any]) -> str:
    """The page's part about it."""
    rows = [
        (
            f"{one['bundle']}, {one['width']}×{one['height']}",
            f"**{one['station_to_app']:.2f}**",
            f"{one['bare_to_app']:.2f}",
            f"{one['station_frames_per_s']:.0f}",
            f"{one['app_frames_per_s']:.0f}",
            f"{one['station']['p50_ms']:.2f}",
            f"{one['bare']['p50_ms']:.2f}",
            f"{one['app_ms']:.2f}",
            f"{one['memory']['p50_ms']:.2f}",
        )
        for one in result["rows"]
    ]
    head = ("", "station / benchmark_app", "graph / benchmark_app", "station, frames/s", "benchmark_app, frames/s")
    return "\n".join(
        [
            "## The floor\n",
            paragraph(
                "A whole station against OpenVINO's own `benchmark_app` (latency hint, one request, float32) on the "
                "very graph that the station compiles, in turns. 1.00 would be a station whose cameras, deadlines, "
                "verdicts and sockets cost nothing. The graph alone is that of the station's inference process, "
                "called in a loop; the copy of one frame is the floor of the memory."
            ),
            table((*head, "whole way, ms", "graph alone, ms", "benchmark_app, ms", "copy, ms"), rows),
        ]
    )


if __name__ == "__main__":
    run_app(app)
