"""The result of one training, a file each, so that an interrupted benchmark goes on where it stopped."""

import hashlib
import json
import re
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np

from benchmarks.few_photographs.draws import Draw, Pool, parts_of
from benchmarks.few_photographs.trainings import Scores
from edge.errors import DataError
from edge.evaluation.intervals import auroc_interval, clustered_rate
from edge.evaluation.metrics import Rate, auroc, part_scores
from edge.evaluation.thresholds import choose_threshold
from edge.files import write_whole
from train.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """One training: a recipe on the photographs of draw number `draw` of a line, `good` and `bad` in all."""

    line: str
    recipe: str
    good: int
    bad: int
    draw: int

    @property
    def file(self) -> str:
        """The name of the file with its result."""
        return f"{self.line}-{self.recipe}-{self.good}-good-{self.bad}-bad-{self.draw}.json"


@dataclass(frozen=True)
class Point:
    """The figures of one training on all test photographs, at the threshold that validation chose.

    `settings` identifies the drawn photographs, those of test and the recipe. `parts` counts the parts that were learnt
    from, `learnt` and `chosen_on` the good and bad photographs, `rare` the good ones that were learnt from and are of
    the line's rare kind, None if it has none. `auroc_low` to `auroc_high` is the 95 % interval from the number of good
    and bad parts of test.
    """

    task: Task
    settings: str
    parts: int
    learnt: tuple[int, int]
    chosen_on: tuple[int, int]
    rare: int | None
    threshold: float
    auroc: float
    auroc_low: float
    auroc_high: float
    recall: Rate
    specificity: Rate
    minutes: float


def settings_of(recipe: Recipe, drawn: Draw, pool: Pool) -> str:
    """The SHA-256 of what a result depends on: the recipe's keys, and the names and labels of the photographs."""
    test = [(one.name, one.label) for one in pool.test]
    content = [recipe.model_dump(mode="json", exclude_defaults=True), drawn.names(), test]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def judged(
    task: Task,
    recipe: Recipe,
    drawn: Draw,
    pool: Pool,
    scored: tuple[Scores, Scores],
    minutes: float,
    rare: str | None = None,
) -> Point:
    """The point of a training from the scores of validation and of test.

    `rare` is a regular expression for the names of the rare kind. Raises DataError if test has photographs of one class
    only.
    """
    chosen, bad = recipe.threshold, np.array([one.is_bad for one in pool.test])
    is_bad = [one.is_bad for one in drawn.chosen_on]
    threshold = choose_threshold(scored[0], is_bad, chosen.strategy, **chosen.options).value
    parts = [one.details.get("part") or one.name for one in pool.test]
    value = auroc(scored[1], bad)
    if value is None:
        raise DataError(f"{task.line}: the test photographs are of one class")
    _, bad_parts = part_scores(scored[1], bad, parts)
    low, high = auroc_interval(value, int(bad_parts.sum()), int((~bad_parts).sum()))
    rejected, of_part = scored[1] >= threshold, np.array(parts)
    return Point(
        task=task,
        settings=settings_of(recipe, drawn, pool),
        parts=parts_of(pool, drawn.learnt),
        learnt=_counts([one.is_bad for one in drawn.learnt]),
        chosen_on=_counts(is_bad),
        rare=None if rare is None else sum(bool(re.search(rare, one.name)) for one in drawn.learnt if not one.is_bad),
        threshold=threshold,
        auroc=value,
        auroc_low=low,
        auroc_high=high,
        recall=clustered_rate(rejected[bad], of_part[bad].tolist()),
        specificity=clustered_rate(~rejected[~bad], of_part[~bad].tolist()),
        minutes=minutes,
    )


def write_point(folder: Path, point: Point) -> None:
    """Write the file of a point, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    content = asdict(point) | {name: getattr(point, name).model_dump() for name in ("recall", "specificity")}
    write_whole(folder / point.task.file, json.dumps(content, indent=1) + "\n")


def read_point(file: Path) -> Point:
    """The point in a file. Raises DataError if it is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["task"] = Task(**content["task"])
        for name in ("recall", "specificity"):
            content[name] = Rate.model_validate(content[name])
        for name in ("learnt", "chosen_on"):
            content[name] = (content[name][0], content[name][1])
        return Point(**content)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise DataError(f"{file} is not a result of this benchmark: remove it ({error})") from None


def is_measured(folder: Path, task: Task, settings: str) -> bool:
    """Whether the folder has the result of this task with these settings."""
    file = folder / task.file
    return file.is_file() and read_point(file).settings == settings


def read_points(folder: Path) -> list[Point]:
    """All points of a folder, in the order of their tasks. Raises DataError if there are none."""
    points = [read_point(file) for file in folder.glob("*.json")]
    if not points:
        raise DataError(f"{folder} has no results: run the benchmark without --page-only")
    return sorted(points, key=lambda point: astuple(point.task))


def _counts(bad: list[bool]) -> tuple[int, int]:
    return len(bad) - sum(bad), sum(bad)
