"""docs/reports/few-photographs.md: advice, curves, and the figures of every number of photographs."""

from collections.abc import Callable, Iterator, Sequence
from statistics import mean

from benchmarks.few_photographs.advice import advice
from benchmarks.few_photographs.curves import Curve, auroc, curves, lines_of, with_bad
from benchmarks.few_photographs.draws import LEARNT_TENTHS
from benchmarks.few_photographs.points import Point
from benchmarks.markdown import paragraph, table
from edge.evaluation.metrics import Rate

ABOUT = {
    "mono": (
        "Monocrystalline solar cells, electroluminescence, without masks: the ELPV data set of ZAE Bayern (S. Deitsch "
        "et al.; C. Buerhop-Lutz et al., CC BY-NC-SA 4.0). Each photograph is another cell."
    ),
    "poly": "Polycrystalline solar cells of the same data set. Each photograph is another cell.",
    "tiles": (
        "Ceramic magnetic tiles (Y. Huang, C. Qiu, K. Yuan, “Saliency of magnetic tile surface defects”), each under "
        "about six exposures, all of which are drawn with a tile: 10 photographs show three tiles. Photographs of a "
        "tile that test shows too are left out, and part numbers whose photographs look alike count as one tile."
    ),
    "plates": (
        "The rendered line of `edge-demo --size 640x360`: pictures by a program, not of a factory, which anybody can "
        "render and measure. Each photograph is another part."
    ),
}


def render(points: Sequence[Point]) -> str:
    """The page of these points."""
    names = lines_of(points)
    said = [
        "# Few photographs: what to expect\n",
        paragraph(
            "Written by `python -m benchmarks.few_photographs --docs docs/reports`; no figure on this page was typed "
            "by a person. It shows what the one-class recipes reach with 10 to 200 good photographs, and a supervised "
            "one with a few bad photographs beside 100 good ones. A number of photographs counts all that somebody "
            "has: 70 % to learn from, 30 % for validation. Figures are those of all test photographs, by which nothing "
            "was chosen."
        ),
        "## In short\n",
        *(paragraph(one) for one in advice(points)),
        "## Good photographs alone\n",
        "![AUROC, recall and specificity by the number of good photographs](few-photographs.svg)\n",
        paragraph(
            "A ring is one training, the line is the mean; full rings learnt of the rare design of `mono`, see below. "
            "Recall is the share of bad photographs that are rejected, specificity the share of good ones that pass, "
            "at the threshold of the recipe: the lowest that passes 95 % of the good photographs of validation. In "
            "brackets: the 95 % interval of one training, the mean of its ends; it is wide because test has few parts "
            "(Newcombe for AUROC, Korn and Graubard for rates). Below it: the lowest and the highest training, which "
            "differ by the photographs that were drawn."
        ),
    ]
    for name in names:
        if found := curves(points, name):
            said += [f"### {name}\n", paragraph(ABOUT.get(name, name)), _table(found), *_rare(points, name)]
    bad = {name: found for name in names if (found := with_bad(points, name))}
    if bad:
        said += [
            "## A few bad photographs\n",
            "![The same by the number of bad photographs](few-photographs-bad.svg)\n",
        ]
        said.append(paragraph(_about_bad(bad)))
        said += [part for name, found in bad.items() for part in (f"### {name}, with bad ones\n", _table(found, True))]
    return "\n".join([*said, "## How it is measured\n", *_protocol(), ""])


def _table(found: Sequence[Curve], by_bad: bool = False) -> str:
    """One row for each recipe and number of photographs, of good ones or of bad ones."""
    rows = []
    for curve in found:
        for count, points in curve.points.items():
            learnt, chosen_on, parts = points[0].learnt, points[0].chosen_on, [point.parts for point in points]
            same = min(parts) == max(parts)
            rows.append(
                (
                    f"`{curve.recipe}`",
                    str(count),
                    f"{learnt[by_bad]} + {chosen_on[by_bad]}",
                    str(parts[0]) if same else f"{min(parts)}–{max(parts)}",
                    str(len(points)),
                    _cell(points, auroc, lambda point: (point.auroc_low, point.auroc_high)),
                    _cell(points, lambda point: point.recall.value, lambda point: _ends(point.recall)),
                    _cell(points, lambda point: point.specificity.value, lambda point: _ends(point.specificity)),
                )
            )
    label = "bad" if by_bad else "good"
    head = (label, "learnt + validation", "parts learnt", "trainings", "AUROC", "recall", "specificity")
    return table(("recipe", *head), rows)


def _cell(
    points: Sequence[Point], value: Callable[[Point], float | None], ends: Callable[[Point], tuple[float, float]]
) -> str:
    """The mean with its interval, and the lowest and the highest value."""
    values = [one for point in points if (one := value(point)) is not None]
    low, high = (mean(ends(point)[side] for point in points) for side in (0, 1))
    spread = f"<br>{min(values):.2f}–{max(values):.2f}" if len(values) > 1 else ""
    return f"**{mean(values):.2f}** [{low:.2f}, {high:.2f}]{spread}"


def _rare(points: Sequence[Point], name: str) -> Iterator[str]:
    """Of a line with a rare kind: the draws that learnt of it apart from the others."""
    own = [point for point in points if point.task.line == name and point.rare is not None and not point.task.bad]
    if not own:
        return
    yield paragraph(
        "The trainings differ because of one design, cells without dark lines across: 6 of the 330 good cells that can "
        "be drawn, and 44 of the 97 good ones of test. Where none was learnt, most of these 44 have higher scores than "
        "bad cells. If the few photographs of validation include one, the threshold rises, and bad cells pass; "
        "otherwise the 44 are rejected. The mean AUROC, and the number of trainings, by whether such a cell was learnt "
        "from:"
    )
    recipes, rows = sorted({point.task.recipe for point in own}), []
    for count in sorted({point.task.good for point in own}):
        chosen = [
            [one.auroc for one in own if (one.task.recipe, one.task.good, bool(one.rare)) == (recipe, count, has)]
            for recipe in recipes
            for has in (False, True)
        ]
        rows.append((str(count), *(f"{mean(of):.2f} ({len(of)})" if of else "-" for of in chosen)))
    yield table(("good", *(f"`{one}`, {said}" for one in recipes for said in ("none learnt", "some learnt"))), rows)


def _about_bad(found: dict[str, list[Curve]]) -> str:
    names = sorted({curve.recipe for of_line in found.values() for curve in of_line if set(curve.points) - {0}})
    return (
        f"{' and '.join(f'`{name}`' for name in names)} with `train.precision=bfloat16`, otherwise as the recipes are, "
        "on 100 good photographs and a few bad ones; `inspector` also has their masks. At 0 bad photographs stand the "
        "one-class recipes on the same good photographs. The supervised recipes choose the threshold with the highest "
        "mean of recall and specificity on validation; with one or two bad photographs there, that is a matter of luck."
    )


def _protocol() -> Iterator[str]:
    yield paragraph(
        "The photographs of train and val are one pool. A draw takes parts from it in random order, each with all its "
        f"photographs, until there are as many as asked for: {10 * LEARNT_TENTHS} % of each class to learn from, taken "
        "from one end of the order, and the others for validation, from the other end. No part is on both sides; of "
        "the last part on each side only as many photographs are taken as are missing. A draw holds those with fewer "
        "photographs and the same number, which is also the seed of the training. What a recipe chooses, it chooses on "
        "the validation photographs of the draw."
    )
    yield paragraph(
        "The trainings are those of `edge-train` and have its scores, which a test compares; the frozen encoder of the "
        "one-class recipes computes each picture once for all trainings. Draws from one pool overlap, the more the "
        "larger they are: with 200 photographs the trainings differ less than those of different people would. All "
        "keys but those named are those of the recipes: with so few photographs a supervised recipe takes few steps, "
        "and more epochs may bring more. Validation comes from the same pool as what is learnt; where test is of other "
        "modules or days, as with the cells, the threshold is less good than validation says."
    )


def _ends(rate: Rate) -> tuple[float, float]:
    return rate.low, rate.high
