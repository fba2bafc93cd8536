"""`python -m benchmarks.journal`: what a verdict takes on the disk, and how long readers wait in a long journal.

The station's own recorder writes verdicts like those of the demonstration line, with free fields, acknowledgements of a
gate, and rows of images. Writes journal.md in docs/reports.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.journal.page import render
from benchmarks.journal.verdicts import FATES, Line, sample
from edge.bench import machine
from edge.cli import run_app
from edge.records.audit import audit
from edge.records.expiry import used_bytes
from edge.records.journal import JOURNAL, open_to_read
from edge.records.journal_upkeep import PAUSE_S
from edge.records.part_history import stories
from edge.records.recorder import Recorder
from edge.records.retention import Keeping
from edge.records.sealing import NEWEST, next_sealing
from edge.records.selection import Selection
from edge.records.stored_verdicts import last_row, sealed_to, select
from edge.records.summary import counts, extent, spreads, total
from edge.verdict import Outcome

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
MOST_BACKLOG = 5000
TRIES = 5
CLAIM_BYTES, LONG = 250, 100_000
"""What a verdict takes at most in a journal of at least so many."""


@app.command()
def journal(
    verdicts: Annotated[int, typer.Option(help="Verdicts in the journal.", min=5000)] = 100_000,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything measured there, as JSON.")] = None,
    docs: Annotated[Path, typer.Option(metavar="DIR", help="Where journal.md goes.")] = Path("docs/reports"),
    work: Annotated[Path, typer.Option(metavar="DIR", help="The record lies here meanwhile.")] = Path("build"),
    with_audit: Annotated[bool, typer.Option("--audit/--no-audit", help="Also time edge-audit.")] = True,
) -> None:
    """Measure the journal. Exit code 1 if a verdict takes more than 250 bytes in a journal of at least 100,000."""
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="journal-", dir=work))
    line = Line(sample(folder / "sample"), "0123456789abcdef", datetime.now(UTC) - timedelta(seconds=verdicts / 10))
    result: dict[str, Any] = {"machine": machine(), "verdicts": verdicts}
    result["written"] = write(folder / "records", line, verdicts)
    result["written"]["row_bytes"] = write(folder / "rows", line, NEWEST)["used_bytes"] / NEWEST
    result["read"] = read(folder / "records", verdicts)
    if with_audit:
        begun = time.perf_counter()
        found = audit(folder / "records", with_images=False)
        result["audit"] = {"s": time.perf_counter() - begun, "problems": [one.text for one in found.problems]}
    text = json.dumps(result, indent=1)
    if out is not None:
        out.write_text(text + "\n")
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "journal.md").write_text(render(result), encoding="utf-8")
    print(render(result))
    shutil.rmtree(folder)
    is_long = verdicts >= LONG
    sys.exit(1 if is_long and result["written"]["bytes_a_verdict"] > CLAIM_BYTES else 0)


def write(folder: Path, line: Line, verdicts: int) -> dict[str, Any]:
    """Write the record with the station's recorder; returns the sizes as rows and as blocks, and the time it took."""
    recorder = Recorder(folder, "line1")
    recorder.begin(line.epoch, "demo", "demo", json.dumps({"keep_goods": 100}))
    begun, keeping = time.perf_counter(), Keeping(folder)
    for one in line.verdicts(verdicts):
        recorder.accept(one.seq)
        recorder.enter(one, one.model_dump_json().encode())
        recorder.acknowledge(one.epoch, one.seq, FATES[one.verdict], "gate1")
        if keeping.wants(one.verdict, one.seq):
            path = f"images/{one.time[:10]}/{one.epoch}/{one.seq:08}-{one.verdict}.png"
            recorder.image(one.epoch, one.seq, path, f"{one.seq:064x}", 390_000 + one.seq % 9973)
        while recorder.backlog > MOST_BACKLOG:
            time.sleep(0.01)
    while recorder.backlog:
        time.sleep(0.01)
    as_json = _bytes_of_json(folder)
    while _is_unsealed(folder):
        time.sleep(PAUSE_S)
    seconds = time.perf_counter() - begun
    recorder.close("told to stop", verdicts, 30.0)
    with closing(open_to_read(folder)) as opened:
        used, newest = used_bytes(opened), last_row(opened) - sealed_to(opened)
        images = opened.execute("SELECT count(*) FROM images").fetchone()[0]
        of_blocks = opened.execute(
            "SELECT count(*), sum(verdicts), sum(length(payload)), sum(length(parts)), sum(length(counts) + "
            "length(scores) + length(ages) + length(fields)) FROM verdict_blocks"
        ).fetchone()
    size = (folder / JOURNAL).stat().st_size
    names = ("blocks", "verdicts_in_blocks", "payload", "parts", "counts")
    return {
        "seconds": seconds,
        "file_bytes": size,
        "used_bytes": used,
        "rows": newest,
        "images": images,
        "json_bytes": as_json,
        "bytes_a_verdict": size / verdicts,
        **dict(zip(names, of_blocks, strict=True)),
    }


def _bytes_of_json(folder: Path) -> float:
    """Mean length of the JSON of the newest verdicts, which are rows; the other columns and the indices come on top."""
    with closing(open_to_read(folder)) as opened:
        (text,) = opened.execute("SELECT avg(length(json)) FROM verdicts").fetchone()
        return float(text)


def _is_unsealed(folder: Path) -> bool:
    with closing(open_to_read(folder)) as opened:
        sealing = next_sealing(opened, newest=NEWEST)
        free = opened.execute("PRAGMA freelist_count").fetchone()[0]
        return sealing is not None or free > 700


def read(folder: Path, verdicts: int) -> dict[str, float]:
    """Milliseconds of each reading, the median of a few tries."""
    with closing(open_to_read(folder)) as opened:
        known = extent(opened)
        assert known.first is not None
        assert known.last is not None
        middle = next(one.verdict for one in select(opened, after=verdicts // 2, limit=1))
    first, last = known.first, known.last + timedelta(seconds=1)
    lot = {"lot": (middle.fields or {})["lot"]}
    hour = datetime.fromisoformat(middle.time)
    readings: dict[str, Callable[[Any], object]] = {
        "counts of everything": lambda opened: total(opened),
        "counts of each hour": lambda opened: counts(opened, first, last, "hour"),
        "counts of each minute of the last eight hours": lambda opened: counts(
            opened, last - timedelta(hours=8), last, "minute"
        ),
        "scores and ages of each hour": lambda opened: spreads(opened, first, last),
        "the newest 50 verdicts": lambda opened: [*select(opened, newest_first=True, limit=50)],
        "the newest 50 rejects": lambda opened: [
            *select(opened, Selection(outcome=Outcome.REJECT), newest_first=True, limit=50)
        ],
        "one part by its id": lambda opened: [*select(opened, Selection(part=middle.part))],
        "the verdicts of one minute": lambda opened: [
            *select(opened, Selection(since=hour, until=hour + timedelta(minutes=1)))
        ],
        "the parts of one lot, in all of the journal": lambda opened: [*select(opened, Selection(fields=lot))],
    }
    timed = {}
    for name, reading in readings.items():
        timed[name] = [_timed(folder, reading) for _ in range(TRIES)]
    timed["the story of one part, as edge-audit --part"] = [
        _clocked(lambda: stories(folder, middle.part)) for _ in range(TRIES)
    ]
    return {name: statistics.median(some) for name, some in timed.items()}


def _timed(folder: Path, reading: Callable[[Any], object]) -> float:
    def opened_and_read() -> None:
        with closing(open_to_read(folder)) as opened:
            reading(opened)

    return _clocked(opened_and_read)


def _clocked(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return (time.perf_counter() - begun) * 1e3


if __name__ == "__main__":
    run_app(app)
