"""`python -m benchmarks.glass`: the age of the picture of each verdict, for each kind of source.

The age is measured from the creation of the picture, which is encoded in its pixels, to the verdict decoded in another
process. Writes docs/reports/glass.md.
"""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks import frame_checks
from benchmarks.glass.bundle import clock_bundle
from benchmarks.glass.feeds import FEEDS, Feed, Scene
from benchmarks.glass.line import WARM_UP, Seen, watch
from benchmarks.glass.page import render, table
from edge.bench import machine
from edge.cli import run_app
from edge.errors import EdgeError, SourceError
from edge.sources.folder import WATCH_S
from edge.sources.size import parse_size
from edge.station.part_counts import percentile

SIZE, RATE, FRAMES = "1280x720", 20, 1000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def glass(
    frames: Annotated[int, typer.Option(help="Verdicts of each source.", min=10)] = FRAMES,
    size: Annotated[str, typer.Option(help="Pictures, WIDTHxHEIGHT.")] = SIZE,
    rate: Annotated[int, typer.Option(help="Pictures a second.", min=1, max=200)] = RATE,
    source: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Where glass.md goes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Measure each kind of source; one that cannot be had here is left out and named. Writes glass.md into
    docs/reports/ unless only some were asked for.
    """
    known = {feed.name: feed for feed in FEEDS}
    if unknown := set(source or ()) - set(known):
        raise EdgeError(f"source {sorted(unknown)[0]!r}: there are {', '.join(known)}")
    feeds = [feed for feed in FEEDS if not source or feed.name in source]
    result = measure(feeds, frames, parse_size(size), rate)
    changed = (("frames", frames, FRAMES), ("size", size, SIZE), ("rate", rate, RATE))
    result["options"] = "".join(f" --{name} {value}" for name, value, default in changed if value != default)
    if docs is not None or not source:
        path = docs or Path("docs/reports")
        path.mkdir(parents=True, exist_ok=True)
        (path / "glass.md").write_text(render(result), encoding="utf-8")
    if as_json:
        print(json.dumps(result))
    else:
        print(table(result["rows"]) + "".join(f"{name}: {why}\n" for name, why in result["missing"].items()))
        print(result["truth"])


def measure(feeds: list[Feed], frames: int, size: tuple[int, int], rate: int) -> dict[str, Any]:
    """Run a line for each feed, one after the other, and then measure the frame checks."""
    from rich.progress import Progress

    from edge.terminal.console import Console

    on, rows, missing = machine(), [], {}
    with TemporaryDirectory() as work, Progress(console=Console(stderr=True), transient=True) as progress:
        bundle = clock_bundle(Path(work) / "clock.edge")
        for feed in feeds:
            tick = partial(progress.advance, progress.add_task(feed.name, total=frames))
            folder = Path(work) / feed.name.replace(" ", "-")
            folder.mkdir()
            try:
                with feed.start(Scene(min(rate, feed.most_rate), size, folder)) as options:
                    seen = watch(bundle, options, feed.unit_us, frames, tick)
            except SourceError as error:
                missing[feed.name] = str(error)
                continue
            rows.append(figures(feed, size, seen))
        progress.add_task("frame truth", total=None)
        costs = frame_checks.measure()
    return {
        "machine": on, "frames": frames, "size": size, "rate": rate, "warm_up": WARM_UP, "watch_s": WATCH_S,
        "rows": rows, "missing": missing, "truth": frame_checks.describe(costs), "truth_ms": asdict(costs),
    }  # fmt: skip


def figures(feed: Feed, size: tuple[int, int], seen: Seen) -> dict[str, Any]:
    """A row of the table."""
    counts = {"unread": seen.unread, "unknown": seen.unknown}
    row: dict[str, Any] = {"source": feed.name, "path": feed.path, "size": size, **counts}
    for name in ("glass_ms", "said_ms", "stamp_ms"):
        ascending = sorted(getattr(one, name) for one in seen.samples)
        row[name] = {key: percentile(ascending, percent) for key, percent in (("p50", 50), ("p99", 99), ("max", 100))}
        row[name]["min"] = ascending[0]
    row["frames_per_s"] = (len(seen.samples) - 1) / seen.lasted_s
    return row


if __name__ == "__main__":
    run_app(app)
