"""The result of a soak: traces of each part at every place, memory, latency, and the claims about them."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.soak.gate import END, LOG, NOTES
from benchmarks.soak.line import PROCESSES, Line, Sample
from edge.errors import EdgeError
from edge.records.gate_log import read_decisions
from edge.records.journal import JOURNAL, open_to_read
from edge.records.stored_verdicts import acknowledged, select

SETTLED = 100_000
FULL = 1_000_000
"""Verdicts after which memory and latency must not grow. Runs shorter than twice that claim nothing about them."""

MOST_GROWTH = 0.05
MOST_SLOWER = 0.10
WINDOWS = 100
QUIET = 0.1
"""Share of the machine's processors that others may take in a window whose p99 is compared."""

LEAST_QUIET = 3
"""Quiet windows that a tenth of the run needs to be compared."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Traces:
    """Number of traces of each part at each place: `counts[place][seq]`. Element 0 belongs to no part."""

    published: int
    counts: dict[str, Numbers]

    def lost(self, place: str) -> int:
        """Number of verdicts without a trace at `place`."""
        return int(np.count_nonzero(self.counts[place][1 : self.published + 1] == 0))

    def repeated(self, place: str) -> int:
        """Number of traces beyond the first of a verdict, and of traces of unpublished verdicts."""
        return int(self.counts[place].sum()) - (self.published - self.lost(place))


def examine(line: Line, said: dict[str, Any]) -> dict[str, Any]:
    """The result of a run, as JSON. `said` is the station's final report."""
    seqs, ages_ms = notes(line.folder / NOTES)
    end = json.loads((line.folder / END).read_text())
    decided, why = _decisions(line.folder / LOG)
    published = int(said["accepted"])
    traces = Traces(
        published,
        {
            "read by the gate": _count(seqs, published),
            "decided by the gate": _count(decided, published),
            "verdicts in the journal": _count(_verdicts(line.records), published),
            "acknowledgements in the journal": _count(_acknowledgements(line.records), published),
        },
    )
    audited = _audit(line)
    result = {
        "machine": line.machine,
        "asked": line.asked,
        "verdicts": published,
        "settled": _settled(published),
        "seconds": line.samples[-1].at_s,
        "verdicts_per_s": line.samples[-1].verdicts / line.samples[-1].at_s,
        "outcomes": {name: said[name] for name in ("good", "reject", "unknown")},
        "reasons": said["reasons"],
        "traces": {
            place: {"count": int(count.sum()), "lost": traces.lost(place), "repeated": traces.repeated(place)}
            for place, count in traces.counts.items()
        },
        "in_order": bool((np.diff(seqs) > 0).all()),
        "gate": {"why": why, **{name: end[name] for name in ("epochs", "repeated", "malformed", "foreign", "fault")}},
        "ledger": end["heartbeat"]["ledger"],
        "alarms": end["heartbeat"]["alarms"],
        "restarts": said["restarts"],
        "audit": {"sound": audited["sound"], "problems": audited["counts"], "gate": audited["gate"]},
        "journal_bytes": sum(path.stat().st_size for path in line.records.glob(f"{JOURNAL}*")),
        "images": {"kept": audited["images"], "removed": audited["images_gone"]},
        "memory": _memory(line.samples, published),
        "cpu_ms_per_verdict": _cpu(line.samples),
        "latency": _latency(ages_ms, published, line.samples),
        "samples": [sample.__dict__ for sample in line.samples],
    }
    return result | {"claims": claims(result)}


def claims(result: dict[str, Any]) -> dict[str, bool | None]:
    """Each claim and whether it holds; None if the run was too short for it."""
    ledger, gate, traces = result["ledger"], result["gate"], result["traces"].values()
    is_long = result["verdicts"] >= 2 * SETTLED
    settled = sum(ledger[name] for name in ("good", "reject", "unknown"))
    growth = max(one["growth"] for one in result["memory"].values())
    slower = growth_of(result["latency"], "quiet_p99_ms")
    return {
        "no verdict is lost": not any(one["lost"] for one in traces),
        "no verdict is repeated": not any(one["repeated"] for one in traces) and not gate["repeated"],
        "verdicts come in order": result["in_order"],
        "the ledger of the last heartbeat balances": result["verdicts"] == ledger["accepted"] == settled,
        "one run, without a fault": len(gate["epochs"]) == 1 and not (gate["fault"] or gate["malformed"]),
        "no process was started again": result["restarts"] == 0,
        "the audit finds the record sound": result["audit"]["sound"],
        "no process grows by more than 5 %": growth <= MOST_GROWTH if is_long else None,
        "p99 at the end is within 10 % of the start": slower <= MOST_SLOWER if is_long and slower is not None else None,
    }


def growth_of(latency: dict[str, Any], name: str) -> float | None:
    """By which share a latency is longer at the end than at the start; None if one is unknown."""
    start, end = latency["start"][name], latency["end"][name]
    return None if start is None or end is None else float(end / start - 1)


def failed(result: dict[str, Any]) -> list[str]:
    """The claims that do not hold; those of a full run also if they are unknown."""
    is_full = result["asked"] >= FULL
    return [claim for claim, holds in result["claims"].items() if holds is False or (is_full and holds is None)]


def notes(path: Path) -> tuple[Numbers, npt.NDArray[np.float64]]:
    """Sequence numbers in the order in which the gate read them, and milliseconds from capture to that reading."""
    notes = np.fromfile(path, np.dtype("<u4")).reshape(-1, 2)
    return notes[:, 0].astype(np.int64), notes[:, 1] / 1e3


def _decisions(path: Path) -> tuple[Numbers, dict[str, int]]:
    """The sequence number of each part that the gate decided, and the number of decisions for each reason."""
    why: Counter[str] = Counter()

    def numbers() -> Iterator[int]:
        for decision in read_decisions(path):
            why[decision.why] += 1
            yield decision.seq or 0

    seqs = np.fromiter(numbers(), np.int64)
    return seqs, dict(why.most_common())


def _verdicts(records: Path) -> Numbers:
    with closing(open_to_read(records)) as journal:
        return np.fromiter((stored.seq for stored in select(journal)), np.int64)


def _acknowledgements(records: Path) -> Numbers:
    with closing(open_to_read(records)) as journal:
        return np.fromiter((seq for _, seq, rows in acknowledged(journal) for _ in rows), np.int64)


def _count(seqs: Numbers, published: int) -> Numbers:
    return np.bincount(seqs, minlength=published + 1)


def _audit(line: Line) -> dict[str, Any]:
    arguments = [str(line.records), "--gate", str(line.folder / LOG), "--json"]
    command = [sys.executable, "-P", "-m", "edge.cli.audit", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise EdgeError(f"edge-audit could not read {line.records}: {done.stderr.strip()}")
    audited: dict[str, Any] = json.loads(done.stdout)
    return audited


def _settled(published: int) -> int:
    return min(SETTLED, published // 2)


def _memory(samples: list[Sample], published: int) -> dict[str, dict[str, float]]:
    """Bytes of each process: when settled, the maximum after that, at the end, and the growth to the maximum."""
    after = [sample.resident for sample in samples if sample.verdicts >= _settled(published)]
    figures = {}
    for name in PROCESSES:
        resident = [one[name] for one in after]
        growth = max(resident) / resident[0] - 1
        figures[name] = {"settled": resident[0], "most": max(resident), "end": resident[-1], "growth": growth}
    return figures


def _cpu(samples: list[Sample]) -> dict[str, float]:
    first, last = samples[0], samples[-1]
    verdicts = max(1, last.verdicts - first.verdicts)
    return {name: (last.cpu_s[name] - first.cpu_s[name]) * 1e3 / verdicts for name in PROCESSES}


def _latency(ages_ms: npt.NDArray[np.float64], published: int, samples: list[Sample]) -> dict[str, Any]:
    """p50 and p99 in a tenth of the run: at the start, when settled, at the end; and in each of a hundred windows.

    `others` is the share of the machine's processors that other programs took in a window. `quiet_p99_ms` is the median
    of the p99 of a tenth's quiet windows; None if there are too few.
    """
    settled, tenth, step = _settled(published), max(1, published // 10), max(1, published // WINDOWS)
    begins = range(0, len(ages_ms) - step + 1, step)
    windows = [
        _percentiles(ages_ms[begin : begin + step]) | {"others": others_between(samples, begin, begin + step)}
        for begin in begins
    ]

    def part(first: int, last: int) -> dict[str, float | None]:
        quiet = [
            window["p99_ms"]
            for begin, window in zip(begins, windows, strict=True)
            if first <= begin and begin + step <= last and window["others"] <= QUIET
        ]
        typical = float(np.median(quiet)) if len(quiet) >= LEAST_QUIET else None
        return {**_percentiles(ages_ms[first:last]), "quiet_windows": len(quiet), "quiet_p99_ms": typical}

    return {
        "all": part(0, len(ages_ms)),
        "start": part(settled, settled + tenth),
        "end": part(len(ages_ms) - tenth, len(ages_ms)),
        "window": step,
        "windows": windows,
    }


def others_between(samples: list[Sample], first: int, last: int) -> float:
    """Share of the machine's processors that other programs took while the verdicts `first` to `last` came."""
    verdicts = [sample.verdicts for sample in samples]

    def at(number: int, values: list[float]) -> float:
        return float(np.interp(number, verdicts, values))

    def between(values: list[float]) -> float:
        return at(last, values) - at(first, values)

    seconds = between([sample.at_s for sample in samples])
    own = between([sum(sample.cpu_s.values()) for sample in samples])
    busy = between([sample.busy_s for sample in samples])
    return max(0.0, busy - own) / ((os.cpu_count() or 1) * seconds) if seconds > 0 else 0.0


def _percentiles(ages_ms: npt.NDArray[np.float64]) -> dict[str, float]:
    p50, p99, most = np.percentile(ages_ms, (50, 99, 100), method="inverted_cdf")
    return {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(most)}
