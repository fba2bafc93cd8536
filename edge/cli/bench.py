"""edge-bench: latency and throughput of a bundle on this machine, for each of its artifacts."""

from pathlib import Path
from typing import Annotated

import typer

from edge.cli import run_app
from edge.cli.size import parse_size

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    bundle: Annotated[Path, typer.Argument(help="Bundle to measure, or the name of a shipped one.")],
    backend: Annotated[list[str] | None, typer.Option(help="Artifact to measure; every one if not given.")] = None,
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT.")] = "1280x720",
    frames: Annotated[int, typer.Option(help="Frames a measurement.", min=10)] = 1000,
    threads: Annotated[
        int | None, typer.Option(help="Threads of an inference; all cores if not given.", min=1, max=256)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Measure bare inference, and the whole way from a frame in shared memory to a verdict in another process."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from edge import bench as measuring
    from edge.bundle import load_bundle
    from edge.machine import cores
    from edge.shipped import found_bundle

    loaded, shape, threads = load_bundle(found_bundle(bundle)), parse_size(size), threads or cores()
    names = backend or sorted(loaded.manifest.artifacts)
    for name in names:
        loaded.artifact(name)  # says what is wrong before anything is measured
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=2 * frames * len(names))
        results = [
            measuring.measure(loaded, name, shape, frames, threads, lambda n: progress.advance(task, n))
            for name in names
        ]
    if as_json:
        print(measuring.as_json(loaded, shape, frames, threads, results))
        return
    machine = measuring.machine()
    table = Table(title=f"{loaded.label}, {size}, {frames} frames, {threads} threads, {machine['cpu']}")
    for column in ("backend", "", "p50 ms", "p90", "p99", "p99.9", "max", "frames/s"):
        table.add_column(column, justify="left" if column in ("backend", "") else "right")
    for result in results:
        for what, figures in (("bare inference", result.bare), ("whole way", result.whole_way)):
            table.add_row(result.backend, what, *(f"{value:.2f}" for value in figures.values()))
        added = result.overhead_ms
        table.add_row("", "difference", f"{added['p50_ms']:+.2f}", "", f"{added['p99_ms']:+.2f}", end_section=True)
    Console().print(table)


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
