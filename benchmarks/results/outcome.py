"""The results in the finished run folders of one entry: figures with their seeds and 95 % intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.results import in_turns, live, masks, reasons, sheets
from benchmarks.results.beside import read_beside
from benchmarks.results.in_turns import InTurns
from benchmarks.results.live import LiveFigures
from benchmarks.results.masks import MaskFigures
from benchmarks.results.plan import Entry, Plan
from benchmarks.results.reasons import Reasons
from benchmarks.results.runs import Found, State, look, read_latency
from benchmarks.results.sheets import Shown
from edge.bench.result import Result, Series
from edge.bench.statistics import percentile
from edge.errors import DataError
from edge.evaluation.intervals import auroc_interval, clustered_rate
from edge.evaluation.metrics import Rate, auroc, average_precision, part_scores
from edge.evaluation.threshold_stability import Promise, Sample, every_promise
from edge.photographs.photograph import SPLITS, parts
from train.models import network_class
from train.run import RunRecord, Scored, read_record, read_scores

SEVERAL = "several defects"
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Figure:
    """The mean over seeds, its 95 % interval where there is one, and the value of each seed."""

    mean: float
    seeds: tuple[float, ...]
    interval: tuple[float, float] | None = None


class SeedRun:
    """One finished run: its record, and the score of every photograph."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.seed = seed
        self.record: RunRecord = read_record(path)
        rows = read_scores(path)
        if any(row.part is None for row in rows):
            rows = _with_parts(rows, self.record.data.folder)
        self.splits = {split: [row for row in rows if row.split == split] for split in SPLITS}

    @property
    def threshold(self) -> float:
        """The threshold that was chosen on validation."""
        assert self.record.selection is not None
        return self.record.selection.threshold.value

    @property
    def strategy(self) -> str:
        """The strategy that chose the threshold."""
        assert self.record.selection is not None
        chosen = self.record.selection.threshold
        return " ".join([chosen.strategy, *(f"{value:g}" for value in chosen.parameters.values())])

    @cached_property
    def judged(self) -> "Judged | None":
        """The test photographs; None if there are none."""
        return Judged(self.splits["test"], self.threshold) if self.splits["test"] else None

    @property
    def epochs(self) -> int:
        """Number of trained epochs."""
        with (self.path / "history.csv").open(encoding="utf-8") as lines:
            return sum(1 for line in lines if line.strip()) - 1

    @property
    def latency_ms(self) -> float | None:
        """Median of the bare inference of its bundle, letterbox included; None if it was not measured."""
        return None if self.measured is None else percentile(bare(self.measured).samples_ms, 50)

    @cached_property
    def measured(self) -> Result | None:
        """The result of edge-bench; None if the bundle was not measured."""
        return read_latency(self.path)

    @cached_property
    def masks(self) -> MaskFigures | None:
        """The overlap of the map with the masks; None if it was not measured."""
        return read_beside(self.path, masks.WHAT, MaskFigures)

    @cached_property
    def live(self) -> LiveFigures | None:
        """The verdicts of its bundle on a line; None if it was not measured."""
        return read_beside(self.path, live.WHAT, LiveFigures)

    @cached_property
    def reasons(self) -> Reasons | None:
        """The differences between validation and test; None if they were not looked for."""
        return read_beside(self.path, reasons.WHAT, Reasons)

    @cached_property
    def in_turns(self) -> InTurns | None:
        """Its bundle against the experiments' own program; None if it was not measured."""
        return read_beside(self.path, in_turns.WHAT, InTurns)

    @cached_property
    def shown(self) -> Shown | None:
        """What its contact sheet shows; None if there is none."""
        return read_beside(self.path, sheets.WHAT, Shown)

    @cached_property
    def promises(self) -> dict[str, Promise]:
        """What each threshold strategy promised on validation and gave on test, with its default parameters."""
        if not self.splits["val"] or not self.splits["test"]:
            return {}
        return every_promise(_sample(self.splits["val"]), _sample(self.splits["test"]))


def bare(measured: Result) -> Series:
    """The series of bare inferences back to back."""
    return next(one for one in measured.series if one.way == "bare" and one.pace.rate_per_min is None)


class Judged:
    """The test photographs of one run: scores, truths, verdicts, and the parts if all are known."""

    def __init__(self, rows: Sequence[Scored], threshold: float) -> None:
        self.rows = rows
        self.scores = np.array([row.score for row in rows], np.float64)
        self.bad = np.array([row.is_bad for row in rows], bool)
        self.right = (self.scores >= threshold) == self.bad
        self.parts = [row.part for row in rows if row.part] if all(row.part for row in rows) else None
        self.units = self.parts or [row.name for row in rows]
        self.kinds = np.array([_kind(row) for row in rows], dtype=object)

    def count(self, bad: bool) -> tuple[int, int]:
        """Numbers of photographs and of parts of a class."""
        return int((self.bad == bad).sum()), len(
            {unit for unit, is_bad in zip(self.units, self.bad, strict=True) if is_bad == bad}
        )

    @property
    def auroc(self) -> float | None:
        """AUROC over photographs."""
        return auroc(self.scores, self.bad)

    @property
    def auroc_by_part(self) -> float | None:
        """AUROC over parts, by the mean score of their photographs; None if no part has several photographs."""
        if self.parts is None or len(set(self.parts)) == len(self.parts):
            return None
        return auroc(*part_scores(self.scores, self.bad, self.parts))

    @property
    def average_precision(self) -> float | None:
        """Average precision over photographs."""
        return average_precision(self.scores, self.bad)


@dataclass(frozen=True)
class Outcome:
    """An entry of the plan and its finished runs; `missing` maps the folder of each other run to its state."""

    entry: Entry
    runs: tuple[SeedRun, ...]
    missing: dict[str, Found]

    @property
    def judged(self) -> list[Judged]:
        """The test photographs of each seed."""
        return [run.judged for run in self.runs if run.judged]

    @property
    def learns_from(self) -> str:
        """The truth that training needs: "good", "labels" or "masks"."""
        return network_class(self.runs[0].record.recipe.model.name).learns_from

    def auroc(self) -> Figure | None:
        """AUROC over photographs; the interval counts each part once."""
        return self._ranked(lambda judged: judged.auroc)

    def auroc_by_part(self) -> Figure | None:
        """AUROC over parts."""
        return self._ranked(lambda judged: judged.auroc_by_part)

    def average_precision(self) -> Figure | None:
        """Average precision over photographs, without an interval."""
        values = [value for judged in self.judged if (value := judged.average_precision) is not None]
        return _mean(values)

    def rate(self, of: Callable[[Judged], Bools]) -> Figure | None:
        """The share of correct verdicts among the photographs that `of` selects, over all seeds.

        The interval resamples parts: all photographs of a part, under all seeds, stay together.
        """
        members = [(judged, chosen) for judged in self.judged if (chosen := of(judged)).any()]
        if not members:
            return None
        hits = np.concatenate([judged.right[chosen] for judged, chosen in members])
        units = [judged.units[index] for judged, chosen in members for index in np.flatnonzero(chosen)]
        pooled: Rate = clustered_rate(hits, units)
        seeds = tuple(float(judged.right[chosen].mean()) for judged, chosen in members)
        return Figure(float(np.mean(seeds)), seeds, (pooled.low, pooled.high))

    def recall(self) -> Figure | None:
        """Share of bad photographs that are rejected."""
        return self.rate(lambda judged: judged.bad)

    def specificity(self) -> Figure | None:
        """Share of good photographs that pass."""
        return self.rate(lambda judged: ~judged.bad)

    def rejected(self, kind: str) -> Figure | None:
        """Share of the photographs with one kind of defect that are rejected."""
        return self.rate(lambda judged: np.asarray(judged.kinds == kind, bool))

    def precision(self) -> Figure | None:
        """Share of bad photographs among the rejected, without an interval."""
        values = [one.figures.precision.value for run in self.runs if (one := run.record.metrics.get("test"))]
        return _mean([value for value in values if value is not None])

    def dice(self) -> Figure | None:
        """Dice of the map on test photographs with ground truth, as training computed it."""
        covered = [one.overlap for run in self.runs if (one := run.record.metrics.get("test")) and one.overlap]
        values = _mean([one.dice for one in covered])
        if values is None or len(covered) > 1:
            return values
        return Figure(values.mean, values.seeds, (covered[0].low, covered[0].high))

    def _ranked(self, of: Callable[[Judged], float | None]) -> Figure | None:
        values = [value for judged in self.judged if (value := of(judged)) is not None]
        if not values:
            return None
        bad, good = (self.judged[0].count(is_bad)[1] for is_bad in (True, False))
        mean = float(np.mean(values))
        return Figure(mean, tuple(values), auroc_interval(mean, bad, good))


def outcomes(plan: Plan, runs: Path) -> list[Outcome]:
    """The outcome of every entry, in the order of the plan. Raises RunError or RecipeError."""
    found = []
    for entry in plan.entry:
        trainings = [plan.training(entry, seed) for seed in entry.seeds]
        states = {training.folder: look(training, runs) for training in trainings}
        finished = [
            SeedRun(runs / one.folder, one.seed) for one in trainings if states[one.folder].state is State.FINISHED
        ]
        missing = {folder: state for folder, state in states.items() if state.state is not State.FINISHED}
        found.append(Outcome(entry, tuple(finished), missing))
    return found


def _sample(rows: Sequence[Scored]) -> Sample:
    """The scores, truths and parts of photographs; parts only if each of them has one."""
    return Sample(
        scores=np.array([row.score for row in rows], np.float64),
        bad=np.array([row.is_bad for row in rows], bool),
        parts=tuple(str(row.part) for row in rows) if all(row.part for row in rows) else None,
    )


def _kind(row: Scored) -> str:
    """The kind of defect; empty for a good photograph, `SEVERAL` where a plus joins several kinds."""
    if not row.is_bad:
        return ""
    return SEVERAL if "+" in (row.defect or "") else row.defect or "bad"


def _mean(values: Sequence[float]) -> Figure | None:
    return Figure(float(np.mean(values)), tuple(values)) if values else None


def _with_parts(rows: list[Scored], data: Path) -> list[Scored]:
    """The rows with their parts from parts.csv; unchanged if that file is missing."""
    try:
        known = parts(data)
    except DataError:
        return rows
    return [
        Scored(row.name, row.split, row.is_bad, row.defect, known.get(row.name, {}).get("part") or row.part, row.score)
        for row in rows
    ]
