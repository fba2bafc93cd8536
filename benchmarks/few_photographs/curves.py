"""The points of a line as curves: by the number of good photographs, or of bad ones beside a number of good ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.few_photographs.points import Point


@dataclass(frozen=True)
class Curve:
    """A recipe on a line, and its draws by the number of photographs, rising."""

    line: str
    recipe: str
    points: dict[int, list[Point]]

    def mean(self, count: int, value: Callable[[Point], float | None]) -> float:
        """The mean of a figure over the draws with so many photographs."""
        return mean(one for point in self.points[count] if (one := value(point)) is not None)


def lines_of(points: Sequence[Point]) -> list[str]:
    """The lines, those of real photographs first."""
    return sorted({point.task.line for point in points}, key=lambda name: (name == "plates", name))


def curves(points: Sequence[Point], line: str) -> list[Curve]:
    """The one-class recipes of a line by the number of good photographs."""
    own = [point for point in points if point.task.line == line and not point.task.bad]
    return [_curve(line, name, own, lambda point: point.task.good) for name in sorted({p.task.recipe for p in own})]


def with_bad(points: Sequence[Point], line: str) -> list[Curve]:
    """The supervised recipes of a line by the number of bad photographs, and the one-class ones of the same draws at 0.

    Empty if none was measured.
    """
    own = [point for point in points if point.task.line == line and point.task.bad]
    same = {(point.task.good, point.task.draw) for point in own}
    without = [p for p in points if p.task.line == line and not p.task.bad and (p.task.good, p.task.draw) in same]
    chosen = [*own, *without] if own else []
    names = sorted({point.task.recipe for point in chosen})
    return [_curve(line, name, chosen, lambda point: point.task.bad) for name in names]


def _curve(line: str, recipe: str, points: Sequence[Point], count: Callable[[Point], int]) -> Curve:
    found: dict[int, list[Point]] = {}
    for point in sorted((one for one in points if one.task.recipe == recipe), key=count):
        found.setdefault(count(point), []).append(point)
    return Curve(line, recipe, found)


def auroc(point: Point) -> float:
    """The AUROC on test."""
    return point.auroc
