"""`python -m benchmarks.scaling`: latency and throughput of a real station under growing load.

Frames from VGA to 20 megapixels, parts from 2 a second to the most that the station takes, subscribers from 1 to 100.
Each subscriber has its own socket, in another process on the same machine. Draws docs/reports/scaling.svg.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import line, script
from benchmarks.comparison import figures, stock
from benchmarks.markdown import goal, paragraph, table
from edge.bundle import Bundle
from edge.channel.endpoints import free_endpoint
from edge.cli import run_app

SIZES = ((480, 640), (720, 1280), (1080, 1920), (2048, 2448), (3000, 4096), (3648, 5472))
"""(height, width), from VGA to 20 megapixels."""

RATES = (120, 600, 1800, 3600, 6000)
"""Parts a minute."""

SUBSCRIBERS = (1, 3, 10, 30, 100)
USUAL = (720, 1280)
"""(height, width) of the frames while rate and subscribers grow."""

SECONDS, FEWEST, MOST, ROUNDS = 5.0, 12, 400, 2
PICTURE = Path("docs/reports/scaling.svg")
QUIET_MS = 5
"""Largest p99 of the delay, in ms, from publication to one of a hundred subscribers."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def growth(
    bundle: script.BundleOption = script.DEFAULT_BUNDLE,
    threads: script.ThreadsOption = 2,
    quick: script.QuickOption = False,
    out: script.OutOption = None,
    picture: Annotated[Path, typer.Option(help="The picture to draw.")] = PICTURE,
) -> None:
    """Measure a station as frames, rate and subscribers grow."""
    from benchmarks.scaling_chart import write_chart

    result = measure(bundle, threads, quick)
    write_chart(result, picture)
    script.finish(result, section(result), out)


def measure(bundle: Path, threads: int, quick: bool = False) -> dict[str, Any]:
    """All results; `section` renders them. Raises EdgeError if a station does not give every verdict."""
    opened = script.opened(bundle)
    sizes, rates, crowds = (SIZES[:2], RATES[2:4], SUBSCRIBERS[:2]) if quick else (SIZES, RATES, SUBSCRIBERS)
    rounds = 1 if quick else ROUNDS
    result = script.about(threads, quick) | {"bundle": opened.label, "usual": list(USUAL)}
    found: dict[str, dict[Any, list[dict[str, Any]]]] = {"sizes": {}, "rates": {}, "subscribers": {}}
    with script.steps(rounds * (len(sizes) + len(rates) + len(crowds))) as step:
        for _ in range(rounds):
            for size in sizes:
                step(f"{size[1]}×{size[0]}")
                found["sizes"].setdefault(size, []).append(_size(opened, size, threads, quick))
            for rate in rates:
                step(f"{rate} parts a minute")
                found["rates"].setdefault(rate, []).append(_rate(opened, rate, threads, quick))
            for crowd in crowds:
                step(f"{crowd} subscribers")
                found["subscribers"].setdefault(crowd, []).append(_crowd(opened, crowd, threads, quick))
    return result | {what: [_together(rows) for rows in all_.values()] for what, all_ in found.items()}


def _together(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of one row as one: percentiles of all samples, means of the other values."""
    rows: dict[str, Any] = {}
    for name, value in rounds[0].items():
        values = [one[name] for one in rounds]
        rows[name] = figures(values) if isinstance(value, list) else sum(values) / len(values)
    return rows


def _frames(per_s: float, quick: bool) -> int:
    return FEWEST if quick else max(FEWEST, min(MOST, int(per_s * SECONDS)))


def _size(bundle: Bundle, size: tuple[int, int], threads: int, quick: bool) -> dict[str, Any]:
    from edge.backends import load_from
    from edge.backends.auto import fastest_artifact

    backend, pictures = load_from(bundle, fastest_artifact(bundle, threads, size), threads, size), stock(size, 4)
    bare: list[float] = []
    for number in range(10 + _frames(25, quick)):
        begun = time.perf_counter_ns()
        backend.infer(pictures[number % len(pictures)])
        bare.append((time.perf_counter_ns() - begun) / 1e6)
    heard = line.run_station(bundle.path, size, _frames(50e6 / (size[0] * size[1]), quick), threads)
    about: dict[str, Any] = {"height": size[0], "width": size[1], "frames_per_s": heard.frames_per_s}
    return about | {"bare": bare[10:], "whole": heard.whole_ms}


def _rate(bundle: Bundle, rate: int, threads: int, quick: bool) -> dict[str, Any]:
    frames, warm_up = max(FEWEST, _frames(rate / 60, quick)), max(4, min(line.WARM_UP, rate // 120))
    heard = line.run_station(bundle.path, USUAL, frames, threads, rate=rate / 60, warm_up=warm_up)
    return {"rate_per_min": rate, "reached_per_min": heard.frames_per_s * 60, "whole": heard.whole_ms}


def _crowd(bundle: Bundle, crowd: int, threads: int, quick: bool) -> dict[str, Any]:
    endpoint = free_endpoint()
    command = [sys.executable, "-m", "benchmarks.subscribers", endpoint, line.STATION, str(crowd)]
    listening = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert listening.stdout is not None
        listening.stdout.readline()
        frames = _frames(100, quick)
        heard = line.run_station(bundle.path, USUAL, frames, threads, endpoint=endpoint, subscribers=crowd + 1)
        said = json.loads(listening.communicate(timeout=line.SILENCE_S)[0])
    finally:
        listening.kill()
        listening.wait()
    lost = crowd * (line.WARM_UP + frames) - said["received"]
    samples = said["ms"][crowd * line.WARM_UP :]
    return {"subscribers": crowd, "frames_per_s": heard.frames_per_s, "lost": lost, "received": samples}


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The goal for many subscribers."""
    most = result["subscribers"][-1]
    name = f"{most['subscribers']:.0f} subscribers"
    return [
        goal(f"p99 from publication to {name}", most["received"]["p99_ms"], QUIET_MS, " ms"),
        {"goal": f"verdicts that {name} lost: none", "found": f"{most['lost']:.0f}", "reached": not most["lost"]},
    ]


def section(result: dict[str, Any]) -> str:
    """The page's section about scaling."""
    usual = f"{result['usual'][1]}×{result['usual'][0]}"
    sizes = [
        (
            f"{one['width']:.0f}×{one['height']:.0f}",
            f"{one['width'] * one['height'] / 1e6:.1f}",
            *(f"{one[way][name]:.2f}" for way in ("bare", "whole") for name in ("p50_ms", "p99_ms")),
            f"{one['frames_per_s']:.0f}",
            f"{one['whole']['count']}",
        )
        for one in result["sizes"]
    ]
    rates = [
        (
            f"{one['rate_per_min']:.0f}",
            f"{one['reached_per_min']:.0f}",
            *(f"{one['whole'][name]:.2f}" for name in ("p50_ms", "p99_ms")),
            f"{one['whole']['count']}",
        )
        for one in result["rates"]
    ]
    crowds = [
        (
            f"{one['subscribers']:.0f}",
            *(f"{one['received'][name]:.2f}" for name in ("p50_ms", "p99_ms")),
            f"{one['frames_per_s']:.0f}",
            f"{one['lost']:.0f}",
        )
        for one in result["subscribers"]
    ]
    return "\n".join(
        [
            "## As more is asked of it\n",
            paragraph(
                f"A real station, {result['threads']} threads, {result['bundle']}; the whole way is from the frame in "
                "memory to the verdict decoded in another process."
            ),
            f"![Latency and throughput over frame size, rate and subscribers]({PICTURE.name})\n",
            paragraph("Frame size, back to back:"),
            table(
                ("frame", "megapixels", "graph p50 ms", "p99", "whole way p50 ms", "p99", "frames/s", "frames"), sizes
            ),
            paragraph(f"Rate, frames of {usual}; from the moment of capture, the copy into shared memory included:"),
            table(("parts a minute", "reached", "p50 ms", "p99 ms", "parts"), rates),
            paragraph(
                f"Subscribers, each with a socket of its own, all in one process on the same cores; frames of {usual}, "
                "back to back. The time is from publication until a subscriber has the verdict, of all of them:"
            ),
            table(("subscribers", "p50 ms", "p99 ms", "frames/s", "lost"), crowds),
        ]
    )


if __name__ == "__main__":
    run_app(app)
