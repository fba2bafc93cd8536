"""`python -m benchmarks.soak.growth`: whether a long record makes verdicts later, side by side in one run.

Short soaks alternate on an empty record, on one with a million verdicts in blocks, and on one with a million rows as
earlier versions wrote them, which the station moves into blocks while it runs. Prints p50 and p99 of each.
"""

import json
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.journal.verdicts import FATES, Line, sample
from benchmarks.soak.gate import NOTES
from benchmarks.soak.line import SIZE
from benchmarks.soak.line import Line as Soak
from benchmarks.soak.model import mean_bundle
from benchmarks.soak.result import notes, others_between
from edge.bench import machine
from edge.cli import run_app
from edge.records.journal import JOURNAL, open_to_write
from edge.records.sealing import next_sealing
from edge.records.tables import ACKNOWLEDGEMENTS, RUNS, VERDICTS

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

BASE = 10_000
"""Verdicts that are made one by one; a longer record has them many times, each time as another run."""

WARM_UP = 0.3
"""Share of the verdicts that are not counted: processes start, and the journal is checked."""


@app.command()
def growth(
    before: Annotated[int, typer.Option(help="Verdicts in the long records.", min=BASE)] = 1_000_000,
    verdicts: Annotated[int, typer.Option(help="Verdicts of each turn.", min=1000)] = 10_000,
    turns: Annotated[int, typer.Option(help="Turns of each record.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything measured there, as JSON.")] = None,
    work: Annotated[Path, typer.Option(metavar="DIR", help="Records lie here, 2 GB: a real disk.")] = Path("build"),
) -> None:
    """Measure whether a long record makes verdicts later."""
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="growth-", dir=work))
    records = {"empty": None, "in blocks": folder / "blocks", "as rows": folder / "rows"}
    make_records(folder, before)
    bundle = mean_bundle(folder / "mean.edge", SIZE)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in records}
    for turn in range(turns):
        for name, record in records.items():
            one = _turn(folder / f"{turn}-{name.replace(' ', '-')}", bundle, record, verdicts)
            print(
                f"turn {turn + 1}, {name:9}: " + ", ".join(f"{key} {value:.2f}" for key, value in one.items()),
                flush=True,
            )
            found[name].append(one)
    medians = {
        name: {key: statistics.median(one[key] for one in some) for key in some[0]} for name, some in found.items()
    }
    for name, one in medians.items():
        print(f"median, {name:9}: {_said(one)}")
    if out is not None:
        result = {"machine": machine(), "before": before, "verdicts": verdicts, "turns": found, "medians": medians}
        out.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(folder)


def _said(one: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.2f}" for key, value in one.items())


def _turn(folder: Path, bundle: Path, record: Path | None, verdicts: int) -> dict[str, float]:
    folder.mkdir()
    line = Soak(folder, bundle)
    if record is not None:
        shutil.copytree(record, line.records)
    line.run(verdicts, 1.0, lambda _: None)
    others = others_between(line.samples, int(WARM_UP * verdicts), verdicts)
    _, ages_ms = notes(folder / NOTES)
    ages_ms = ages_ms[int(WARM_UP * len(ages_ms)) :]
    p50, p99, p999 = np.percentile(ages_ms, (50, 99, 99.9), method="inverted_cdf")
    shutil.rmtree(folder)
    return {"p50_ms": float(p50), "p99_ms": float(p99), "p999_ms": float(p999), "others": others}


def make_records(folder: Path, before: int) -> None:
    """The records `rows` and `blocks` in `folder`, with `before` verdicts each."""
    with _written(folder / "rows") as rows:
        begun = datetime.now(UTC) - timedelta(seconds=before / 10)
        line = Line(sample(folder / "sample"), f"{0:016x}", begun)
        rows.execute(*RUNS.entry(**_run(0)))
        for one in line.verdicts(BASE):
            rows.execute(*VERDICTS.entry(one, json=one.model_dump_json()))
            fate = {"fate": FATES[one.verdict], "client": "gate1", "time": one.time}
            rows.execute(*ACKNOWLEDGEMENTS.entry(epoch=one.epoch, seq=one.seq, **fate))
        rows.execute("COMMIT")
        shutil.copytree(folder / "rows", folder / "blocks")
        rows.execute("BEGIN")
        for number in range(1, before // BASE):
            epoch = f"{number:016x}"
            rows.execute(*RUNS.entry(**_run(number)))
            names = [column.name for column in VERDICTS.columns]
            changed = {"epoch": "?1", "json": f"replace(json, '{line.epoch}', ?1)"}
            selected = ", ".join(changed.get(name, name) for name in names)
            copied = f"INSERT INTO verdicts ({', '.join(names)}) SELECT {selected} FROM verdicts WHERE rowid <= {BASE}"
            rows.execute(copied, (epoch,))
            copied = f"SELECT ?1, seq, fate, client, time FROM acknowledgements WHERE rowid <= {BASE}"
            rows.execute(f"INSERT INTO acknowledgements {copied}", (epoch,))
    with _written(folder / "blocks") as blocks:
        while sealing := next_sealing(blocks, newest=1):
            for sql, values, _ in sealing.statements:
                blocks.execute(sql, values)
        (last,) = blocks.execute("SELECT max(row + verdicts) FROM verdict_blocks").fetchone()
        names = [name for _, name, *_ in blocks.execute("PRAGMA table_info(verdict_blocks)")]
        blocks.execute("UPDATE verdicts SET rowid = rowid + ?", (before * 2,))
        for number in range(1, before // BASE):
            changed = {"row": f"row + {number * last}", "epoch": f"'{number:016x}'"}
            selected = ", ".join(changed.get(name, name) for name in names)
            blocks.execute(f"INSERT INTO verdict_blocks SELECT {selected} FROM verdict_blocks WHERE row < {last}")
            blocks.execute(*RUNS.entry(**_run(number)))


def _run(number: int) -> dict[str, Any]:
    start = {"epoch": f"{number:016x}", "boot": number + 1, "station": "soak", "source": "demo", "bundle": "demo"}
    return start | {"started": "", "config": "{}"}


@contextmanager
def _written(folder: Path) -> Iterator[sqlite3.Connection]:
    """The journal in `folder`, open to write in one transaction."""
    folder.mkdir(exist_ok=True)
    journal, _ = open_to_write(folder)
    with closing(journal):
        journal.execute("PRAGMA synchronous = OFF")
        journal.execute("BEGIN")
        yield journal
        if journal.in_transaction:
            journal.execute("COMMIT")
        journal.execute("UPDATE runs SET ended = '', cause = 'told to stop', last_seq = ?, accepted = ?", (BASE, BASE))
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    print(f"{folder.name}: {(folder / JOURNAL).stat().st_size / 1e6:.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    run_app(app)
