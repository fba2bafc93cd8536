"""`python -m benchmarks.plc`: verdicts through a real station and edge-plc to a PLC that polls.

Prints the figures; with --docs writes plc.md and plc-timing.svg into docs/reports. With --broker-outage or
--beside-rounds only that is measured, and only its section of plc.md is written.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.plc import beside, outage
from benchmarks.plc.chart import write_timing
from benchmarks.plc.page import render
from benchmarks.plc.runs import line_run, trigger_run
from benchmarks.plc.sections import sections_of, write_page, write_section
from benchmarks.soak.model import mean_bundle
from edge.bench import machine
from edge.cli import run_app

SIZE = (48, 64)
TRIGGER_CYCLE_MS, TRIGGER_EVERY_MS = 2.0, 100.0
BESIDE_PARTS, BESIDE_RATE = 600, "10/s"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def plc(
    parts: Annotated[int, typer.Option(help="Parts of the run with the polling PLC.", min=100)] = 20_000,
    rate: Annotated[str, typer.Option(help="Parts a second of that run.")] = "60/s",
    cycle_ms: Annotated[float, typer.Option(help="Cycle of the PLC in that run.", min=0)] = 5.0,
    triggers: Annotated[int, typer.Option(help="Parts that the PLC triggers.", min=10)] = 200,
    full_parts: Annotated[int, typer.Option(help="Parts of the run at the station's full speed.", min=100)] = 20_000,
    broker_outage: Annotated[
        float, typer.Option(metavar="S", help="Only this: an MQTT broker that is away for so many seconds.", min=0)
    ] = 0.0,
    beside_rounds: Annotated[
        int, typer.Option(metavar="N", help="Only this: a station with all buses against one without, N turns.", min=0)
    ] = 0,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Where plc.md and plc-timing.svg go.")] = None,
    work: Annotated[Path, typer.Option(metavar="DIR", help="Records and logs lie here meanwhile.")] = Path("build"),
) -> None:
    """Run a PLC that polls in cycles, one that reads without a pause, one at the station's full speed, and triggers.

    Exit code 1 if a part escaped, or a result was lost or came twice; what was written is kept then.
    """
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="plc-", dir=work))
    if beside_rounds:
        section = beside.render_beside(beside.beside_run(folder, beside_rounds, BESIDE_PARTS, BESIDE_RATE, cycle_ms))
        print(section)
        if docs is not None:
            write_section(docs / "plc.md", beside.TITLE, section)
        shutil.rmtree(folder)
        return
    options: dict[str, Any] = {
        "source": "replay",
        "size": f"{SIZE[1]}x{SIZE[0]}",
        "backend": "onnxruntime",
        "threads": 1,
    }
    options["bundle"] = mean_bundle(folder / "mean.edge", SIZE)
    if broker_outage:
        _outage(folder, broker_outage, docs, options)
        return
    result: dict[str, Any] = {"machine": machine()}
    result["runs"] = [
        line_run(folder / "cycles", parts, cycle_ms, rate=rate, **options),
        line_run(folder / "reads", max(100, parts // 10), 0.0, rate=rate, **options),
        line_run(folder / "full", full_parts, cycle_ms, **options),
    ]
    result["trigger"] = trigger_run(folder / "trigger", triggers, TRIGGER_CYCLE_MS, TRIGGER_EVERY_MS)
    page = render(result)
    print(page)
    if docs is not None:
        write_page(docs / "plc.md", page, sections_of(docs / "plc.md"))
        write_timing(result["trigger"]["samples"], docs / "plc-timing.svg")
    _end(folder, result["runs"])


def _outage(folder: Path, away_s: float, docs: Path | None, options: dict[str, Any]) -> None:
    result = outage.outage_run(folder / "outage", away_s, **options)
    section = outage.render_outage(result)
    print(section)
    if docs is not None:
        write_section(docs / "plc.md", outage.TITLE, section)
    if outage.wrong(result):
        print(f"what was written is kept in {folder}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)


def _end(folder: Path, runs: list[dict[str, Any]]) -> None:
    problems = [text for run in runs for text in run["problems"]]
    bad = sum(run[key] for run in runs for key in ("escapes", "lost", "twice")) + len(problems)
    if bad:
        print(*problems[:10], f"what was written is kept in {folder}", sep="\n", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    run_app(app)
