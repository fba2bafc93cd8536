"""What follows from the figures for somebody who begins, in sentences."""

from collections.abc import Iterator, Sequence
from statistics import mean

from benchmarks.few_photographs.curves import Curve, auroc, curves, lines_of, with_bad
from benchmarks.few_photographs.points import Point
from edge.text import counted

CLOSE = 0.02
"""An AUROC that is no further below the one with most photographs is as good, as far as these draws show."""


def advice(points: Sequence[Point]) -> Iterator[str]:
    """The sentences. Draws that learnt nothing of a line's rare kind are left out of all but the first."""
    yield from of_kinds([point for point in points if point.rare is not None and not point.task.bad])
    usual = [point for point in points if point.rare != 0]
    found = [curve for name in lines_of(usual) for curve in curves(usual, name)]
    if found:
        yield of_numbers(found)
        yield of_thresholds([point for curve in found for of in curve.points.values() for point in of])
    apart = [one for name in lines_of(usual) for one in differences(with_bad(usual, name))]
    if apart:
        yield of_bad(apart)


def of_kinds(points: Sequence[Point]) -> Iterator[str]:
    """What it costs that one kind of good part was not learnt; nothing unless there are draws with and without it."""
    without, having = ([point for point in points if bool(point.rare) is has] for has in (False, True))
    if not without or not having:
        return
    most, fewest = max(one.task.good for one in without), min(one.task.good for one in having)
    best = mean(one.auroc for one in having if one.task.good == fewest)
    yield (
        "**Photograph every kind of good part; one or two of each do more than a hundred of the same.** One design of "
        "the monocrystalline cells is frequent in test and rare among those to learn from. The mean AUROC of "
        f"{counted(len(without), 'training')} without any of it is {mean(one.auroc for one in without):.2f}, and with "
        f"{most} photographs it is no better; that of {counted(len(having), 'training')} with at least one of it is "
        f"{mean(one.auroc for one in having):.2f}, and with {fewest} photographs in all it is {best:.2f} already."
    )


def of_numbers(found: Sequence[Curve]) -> str:
    """From how many photographs on more of them hardly help the ranking."""
    names = list(dict.fromkeys(curve.line for curve in found))
    each = "; ".join(
        f"{name}: " + ", ".join(f"`{one.recipe}` {fewest_as_good(one)}" for one in found if one.line == name)
        for name in names
    )
    return (
        "**How many good photographs.** If every kind is among them, the fewest with which the mean "
        f"AUROC is within {CLOSE:g} of that with most: {each}."
    )


def fewest_as_good(curve: Curve) -> int:
    """The smallest number from which on the mean AUROC stays within `CLOSE` of that with most photographs."""
    counts = list(curve.points)
    most = curve.mean(counts[-1], auroc)
    poor = [number for number, count in enumerate(counts) if curve.mean(count, auroc) < most - CLOSE]
    return counts[poor[-1] + 1 if poor else 0]


def of_thresholds(points: Sequence[Point]) -> str:
    """How far the specificity on test is from the 0.95 that were asked for."""
    told = []
    for count in sorted({point.task.good for point in points}):
        own = [point for point in points if point.task.good == count]
        rates = [point.specificity.value or 0.0 for point in own]
        told.append(
            f"with {count}, {own[0].chosen_on[0]} of them to choose on, {mean(rates):.2f} ({min(rates):.2f} to "
            f"{max(rates):.2f})"
        )
    return (
        "**The threshold needs more good photographs than the network.** It is chosen to pass 95 % of the good parts "
        f"of validation. The mean specificity on test (lowest to highest training) is {'; '.join(told)}. With few, "
        "trust the order of the scores, not the threshold, and choose it anew by the first hundred parts of the line "
        "(`edge-export rethreshold`)."
    )


def differences(found: Sequence[Curve]) -> list[tuple[int, float]]:
    """Of each supervised training its number of bad photographs, and its AUROC less that of the better one-class recipe
    on the same good photographs."""
    without = [point for curve in found for point in curve.points.get(0, [])]
    best: dict[int, float] = {}
    for point in without:
        best[point.task.draw] = max(point.auroc, best.get(point.task.draw, 0.0))
    return [
        (point.task.bad, point.auroc - best[point.task.draw])
        for curve in found
        for points in curve.points.values()
        for point in points
        if point.task.bad and point.task.draw in best
    ]


def of_bad(apart: Sequence[tuple[int, float]]) -> str:
    """Whether the supervised recipe is better than the better one-class one."""
    told = []
    for count in sorted({count for count, _ in apart}):
        values = [one for bad, one in apart if bad == count]
        told.append(
            f"with {count} bad ones it is higher in {sum(one > 0 for one in values)} of {len(values)} trainings, by "
            f"{mean(values):+.2f} in the mean ({min(values):+.2f} to {max(values):+.2f})"
        )
    return (
        "**Train both kinds of recipe as soon as there are a few bad photographs, and let validation tell.** The AUROC "
        "of the supervised recipe, compared with the better one-class recipe on the same 100 good photographs: "
        f"{'; '.join(told)}. `edge-train auto` does the comparison."
    )
