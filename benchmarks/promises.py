"""`python -m benchmarks.promises [RUNS …]`: how often a threshold keeps what it was asked for, over finished runs.

The photographs of validation and test of a run, with the scores of its network, stand for a line without end: parts are
drawn from them at random, with all their photographs and with replacement, as validation and as test. Each strategy
chooses its threshold on the drawn validation parts. The rate that it was asked for is then known exactly, because all
parts of that line are known, and what the report would say of the drawn test parts is compared with it. RUNS are runs
or folders of runs. Writes docs/reports/promises.md.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from benchmarks.script import steps
from edge.cli import run_app
from edge.errors import DataError
from edge.evaluation.asked_rate import AskedRate, asked_rate
from edge.evaluation.threshold_stability import Sample
from edge.evaluation.thresholds import STRATEGIES, ChosenThreshold, as_option, choose_threshold

Parameters = dict[str, float]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

ASKED: tuple[tuple[str, Parameters], ...] = (
    ("specificity", {"at_least": 0.95}),
    ("false-rejects-with-confidence", {"at_most": 0.05, "confidence": 0.95}),
    ("specificity", {"at_least": 0.9}),
    ("false-rejects-with-confidence", {"at_most": 0.1, "confidence": 0.9}),
    ("recall", {"at_least": 0.95}),
    ("recall-with-confidence", {"at_least": 0.95, "confidence": 0.95}),
    ("recall", {"at_least": 0.9}),
    ("recall-with-confidence", {"at_least": 0.9, "confidence": 0.9}),
)
"""The strategies that are compared, each quantile before the promise of the same rate."""

COMPARED = ASKED[:2]
"""The strategy of the one-class recipes and the promise of the same rate, with different numbers of parts."""

SIZES = (20, 40, 59, 100, 200, 400)
"""Numbers of good validation parts of that comparison."""

ABSENT = "no such photographs"


@dataclass(frozen=True)
class Line:
    """The scored photographs of a run's validation and test: `own` as they were split, `whole` together.

    `members` holds the indices of the photographs of each good and of each bad part, `highest` its highest score,
    float64 [M]; `chosen_on` and `given_on` are the numbers of good and of bad parts of validation and of test.
    """

    line: str
    run: str
    own: dict[str, Sample]
    whole: Sample
    members: dict[bool, list[Indices]]
    highest: dict[bool, Floats]
    chosen_on: dict[bool, int]
    given_on: dict[bool, int]

    def drawn(self, rng: np.random.Generator, counts: dict[bool, int]) -> Sample:
        """So many good and bad parts, drawn with replacement, with all their photographs."""
        chosen: list[Indices] = []
        for is_bad, count in counts.items():
            of_class = self.members[is_bad]
            chosen += [of_class[index] for index in rng.integers(0, len(of_class), count)] if of_class else []
        indices = np.concatenate(chosen)
        parts = None
        if self.whole.parts is not None:
            parts = tuple(str(number) for number, one in enumerate(chosen) for _ in one)
        return Sample(self.whole.scores[indices], self.whole.bad[indices], parts)

    def rejected(self, is_bad: bool, threshold: float, by_part: bool) -> float:
        """The share of the good or of the bad photographs, or parts, of the line that a threshold rejects."""
        scores = self.highest[is_bad] if by_part else self.whole.scores[self.whole.bad == is_bad]
        return float((scores >= threshold).mean())


@dataclass
class Row:
    """How a strategy did on the runs of one line.

    `kept` counts for each run the draws whose threshold keeps the asked rate on the whole line; `told` counts what the
    report says of the drawn test parts, for thresholds that keep it (True) and for others. `recall` and `false_rejects`
    are sums over the draws, of photographs of the whole line. `own` counts what the report says of the split as it is;
    `refused` says by run why there is no threshold. `sizes` are the numbers of good and bad validation parts.
    """

    line: str
    strategy: str
    parameters: Parameters
    draws: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    told: dict[bool, Counter[str]] = field(default_factory=lambda: {True: Counter(), False: Counter()})
    recall: float = 0.0
    false_rejects: float = 0.0
    own: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)
    sizes: set[tuple[int, int]] = field(default_factory=set)

    @property
    def option(self) -> str:
        """The strategy as --threshold takes it."""
        return as_option(self.strategy, self.parameters)

    def choose(self, chosen_on: Sample) -> ChosenThreshold:
        """The threshold on a sample. Raises DataError if it does not allow the strategy."""
        parts = chosen_on.parts
        return choose_threshold(chosen_on.scores, chosen_on.bad, self.strategy, parts=parts, **self.parameters)

    def is_kept(self, line: Line, threshold: float) -> bool:
        """Whether the rate on the whole line is what was asked for."""
        entry = STRATEGIES[self.strategy]
        rejected = line.rejected(entry.needs_bad, threshold, entry.promises)
        return rejected >= self.parameters["at_least"] if entry.needs_bad else rejected <= self.most_false_rejects

    @property
    def most_false_rejects(self) -> float:
        """The largest rate of false rejects that keeps what was asked for."""
        return self.parameters.get("at_most", 1 - self.parameters.get("at_least", 0.0) + 1e-12)


@dataclass(frozen=True)
class Cost:
    """A strategy with so many good validation parts: share of draws that keep the rate, mean recall and false rejects
    of the line; None where the strategy refuses so few parts, or without bad photographs.
    """

    line: str
    strategy: str
    good: int
    kept: float | None
    recall: float | None
    false_rejects: float | None


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def promises(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Runs, or folders of runs.", show_default="build/results")
    ] = None,
    draws: Annotated[int, typer.Option(help="Draws of validation and test for each run.", min=10)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write promises.md into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Count how often the threshold of each strategy keeps what it was asked for."""
    from benchmarks.promises_page import render

    lines = read_lines(runs or [Path("build/results")])
    names = sorted({line.line for line in lines})
    rows = {name: [Row(name, *one) for one in ASKED] for name in names}
    costs: list[Cost] = []
    rng = np.random.default_rng(seed)
    with steps(len(lines) + len(names)) as step:
        for line in lines:
            step(f"{line.line}: {line.run}")
            measure(line, rows[line.line], rng, draws)
        for name in names:
            step(f"{name}: number of parts")
            costs += cost([line for line in lines if line.line == name], rng, max(10, draws // 5))
    found = [row for name in names for row in rows[name]]
    page = render(found, costs, {name: [line for line in lines if line.line == name] for name in names}, draws)
    if docs is not None:
        (docs / "promises.md").write_text(page, encoding="utf-8")
    print(json.dumps(as_result(found, costs)) if as_json else page)


def as_result(rows: Sequence[Row], costs: Sequence[Cost]) -> dict[str, object]:
    """The result as JSON types."""
    told = [
        vars(row)
        | {"sizes": sorted(row.sizes), "told": {"kept" if key else "not kept": one for key, one in row.told.items()}}
        for row in rows
    ]
    return {"rows": told, "costs": [asdict(one) for one in costs]}


def read_lines(folders: Sequence[Path]) -> list[Line]:
    """The lines of all runs in these folders. Raises DataError if there are none."""
    found = [run for folder in folders for run in _runs(folder)]
    lines = [line for run in found if (line := read_line(run)) is not None]
    if not lines:
        raise DataError(
            f"{', '.join(map(str, folders))}: no finished run with good validation and test photographs; name runs of "
            "edge-train, or folders of them"
        )
    return lines


def read_line(run: Path) -> Line | None:
    """The photographs of a run; None if it has not finished, or without good validation and test photographs."""
    from train.run import read_record, read_scores

    record = read_record(run)
    rows = [row for row in read_scores(run) if row.split in ("val", "test")]
    scores, bad = np.array([row.score for row in rows], np.float64), np.array([row.is_bad for row in rows], bool)
    split = np.array([row.split for row in rows])
    if not record.finished or any(bad[split == name].all() for name in ("val", "test")):
        return None
    names = [row.part or row.name for row in rows]
    photographs: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        photographs[name].append(index)
    members: dict[bool, list[Indices]] = {False: [], True: []}
    counts = {name: {False: 0, True: 0} for name in ("val", "test")}
    for indices in photographs.values():
        is_bad = bool(bad[indices].any())
        members[is_bad].append(np.array(indices, np.int64))
        counts[split[indices[0]]][is_bad] += 1
    is_once = len(photographs) == len(rows)

    def sample(at: Indices) -> Sample:
        return Sample(scores[at], bad[at], None if is_once else tuple(names[index] for index in at))

    own = {name: sample(np.flatnonzero(split == name)) for name in ("val", "test")}
    highest = {is_bad: np.array([scores[one].max() for one in of_class]) for is_bad, of_class in members.items()}
    whole = sample(np.arange(len(rows)))
    return Line(record.data.folder.name, run.name, own, whole, members, highest, counts["val"], counts["test"])


def measure(line: Line, rows: Sequence[Row], rng: np.random.Generator, draws: int) -> None:
    """Add what each strategy does on the drawn parts of one run to its row."""
    able = []
    for row in rows:
        try:
            chosen = row.choose(line.own["val"])
        except DataError as error:
            row.refused[line.run] = str(error)
            continue
        able.append(row)
        row.kept[line.run] = 0
        row.sizes.add((line.chosen_on[False], line.chosen_on[True]))
        row.own[_told(chosen, line.own["test"])] += 1
    for _ in range(draws):
        chosen_on, given_on = line.drawn(rng, line.chosen_on), line.drawn(rng, line.given_on)
        for row in able:
            chosen = row.choose(chosen_on)
            is_kept = row.is_kept(line, chosen.value)
            row.draws += 1
            row.kept[line.run] += is_kept
            row.told[is_kept][_told(chosen, given_on)] += 1
            row.false_rejects += line.rejected(False, chosen.value, by_part=False)
            if line.members[True]:
                row.recall += line.rejected(True, chosen.value, by_part=False)


def cost(lines: Sequence[Line], rng: np.random.Generator, draws: int) -> Iterator[Cost]:
    """The figures of `COMPARED` with different numbers of good validation parts, over all runs of one line."""
    has_bad = all(line.members[True] for line in lines)
    for size in SIZES:
        for strategy, parameters in COMPARED:
            row, kept = Row(lines[0].line, strategy, parameters), 0
            for line in lines:
                for _ in range(draws):
                    try:
                        value = row.choose(line.drawn(rng, {False: size})).value
                    except DataError:
                        break
                    row.draws += 1
                    kept += row.is_kept(line, value)
                    row.false_rejects += line.rejected(False, value, by_part=False)
                    row.recall += line.rejected(True, value, by_part=False) if has_bad else 0.0
            if not row.draws:
                yield Cost(row.line, strategy, size, None, None, None)
                continue
            recall = row.recall / row.draws if has_bad else None
            yield Cost(row.line, strategy, size, kept / row.draws, recall, row.false_rejects / row.draws)


def _told(chosen: ChosenThreshold, sample: Sample) -> str:
    """What the report says of a threshold on test photographs."""
    asked: AskedRate | None = asked_rate(chosen, sample.scores, sample.bad, sample.parts)
    return ABSENT if asked is None else str(asked.kept)


def _runs(folder: Path) -> list[Path]:
    if (folder / "scores.csv").is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob("*/scores.csv"))


if __name__ == "__main__":
    run_app(app, extra="train")
