"""A bundle on its line: `edge-run` judges new parts live, and its verdicts are compared with the truth."""

from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.results.beside import Measurement
from benchmarks.station import Station
from edge.bench.statistics import percentile
from edge.demo.line_names import LineName
from edge.errors import DataError
from edge.evaluation.metrics import Confusion
from edge.rates import rate_text
from edge.terminal.progress import SILENT, Stage
from edge.verdict import Outcome, Verdict

WHAT = "live"

PARTS = 1000
RATE = 10.0
"""Parts a second: 600 a minute."""

BUDGET_MS = 5000.0
"""Long, so that a machine that is busy with other things makes no part unknown."""


class LiveFigures(Measurement):
    """The verdicts of `parts` parts of a line, live at `rate_per_s`.

    `confusion` counts the judged ones, `unknown` the others by their reason. `p50_ms` and `p99_ms` are from capture to
    publication. `artifact` is the one that gave the scores.
    """

    line: LineName
    parts: int
    rate_per_s: float
    budget_ms: float
    confusion: Confusion
    unknown: dict[str, int]
    p50_ms: float
    p99_ms: float
    artifact: str
    command: str


def measure_live(
    bundle: Path,
    line: LineName,
    parts: int = PARTS,
    rate_per_s: float = RATE,
    budget_ms: float = BUDGET_MS,
    stage: Stage = SILENT.begin,
) -> LiveFigures:
    """Run a station on a line until it judged `parts` parts. Raises EdgeError if the verdict of a part is missing."""
    options: dict[str, Any] = {
        "source": "demo",
        "line": line,
        "limit": parts,
        "rate": rate_text(rate_per_s),
        "policy": "every",
    }
    options |= {"budget_ms": f"{budget_ms:g}"}
    advance = stage(f"judging the line {line}", parts)
    heard: list[Verdict] = []
    with Station(bundle=bundle, **options) as station:
        for received in station.messages():
            if isinstance(received.message, Verdict):
                heard.append(received.message)
                advance()
        if len(heard) != parts:
            raise DataError(f"{bundle}: {len(heard)} of {parts} parts have a verdict; {station.last_words()}")
    judged = [one for one in heard if one.verdict is not Outcome.UNKNOWN]
    if not judged:
        raise DataError(f"{bundle}: no part of the line {line} was judged: {heard[0].reason}, {heard[0].detail}")
    ages = [one.age_ms for one in judged]
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    return LiveFigures(
        line=line,
        parts=parts,
        rate_per_s=rate_per_s,
        budget_ms=budget_ms,
        confusion=_counts(judged),
        unknown=dict(Counter(str(one.reason) for one in heard if one.verdict is Outcome.UNKNOWN)),
        p50_ms=percentile(ages, 50),
        p99_ms=percentile(ages, 99),
        artifact=judged[0].backend or "",
        command=f"edge-run {flags} --bundle {bundle.name}",
    )


def _counts(judged: list[Verdict]) -> Confusion:
    pairs = Counter((one.verdict is Outcome.REJECT, one.truth == "bad") for one in judged)
    return Confusion(tp=pairs[True, True], fp=pairs[True, False], tn=pairs[False, False], fn=pairs[False, True])
