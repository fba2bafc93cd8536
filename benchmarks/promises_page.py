"""The page of the promises, docs/reports/promises.md."""

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.markdown import paragraph, table
from benchmarks.promises import ABSENT, COMPARED, SIZES, Cost, Line, Row
from edge.evaluation.asked_rate import Kept
from edge.evaluation.metrics import rate
from edge.evaluation.thresholds import CONFIDENCE, STRATEGIES, as_option
from edge.evaluation.tolerance_limits import fewest_parts
from edge.text import counted

SURE = 0.99
"""Confidence of the interval of a share of draws: a promise is broken only if the interval is below what it says."""

RATES, CONFIDENCES = (0.2, 0.1, 0.05, 0.02, 0.01), (0.8, 0.9, 0.95, 0.99)
PER_VALIDATION_PART = 5
"""edge-train validates on a fifth of the photographs if it splits them itself."""


def render(rows: Sequence[Row], costs: Sequence[Cost], lines: Mapping[str, Sequence[Line]], draws: int) -> str:
    """The page: how often each strategy kept what it was asked for, what the report says of it, and what it costs."""
    said = [
        "# Thresholds and what they were asked for\n",
        paragraph(
            "Written by `python -m benchmarks.promises RUNS --docs docs/reports`; no figure on this page was typed by "
            "a person. The photographs of validation and test of a finished run, with their scores, stand for a line "
            f"without end. {draws:,} times for each run as many good and bad parts as validation and test have are "
            "drawn from them, each with all its photographs, with replacement. Each strategy chooses its threshold on "
            "the drawn validation parts. All parts of the line are known, and so is whether the threshold keeps what "
            "was asked for: of parts, which are rejected if one of their photographs is, for a strategy with a "
            "confidence, of photographs for the others. A line has the name of the folder of its photographs."
        ),
        "## Kept\n",
        paragraph(
            "A strategy with a confidence has to keep its rate in at least that share of the draws. It keeps its word "
            f"if the {SURE:.0%} interval of the share is not below what is promised, for all runs of the line together "
            "and, corrected for their number, for each of them. The others promise nothing: they take the threshold "
            "that has the rate on validation."
        ),
        *(_kept(name, [row for row in rows if row.line == name], own) for name, own in lines.items()),
        "## What the report says of it\n",
        paragraph(
            "The report compares the 95 % interval of the rate on test with what was asked for. Of the draws whose "
            "threshold keeps the rate on the line, and of those whose threshold does not: how many the report calls "
            "kept, leaves open (it cannot be told from so few) and calls not kept. The last column has the runs with "
            "validation and test as they are; there the two may differ by more than chance, as when the light has "
            "changed, and then no promise holds."
        ),
        table(
            ("line", "strategy", "line keeps it: kept / open / not kept", "line does not", "runs as they are"),
            [_told(row) for row in rows if row.draws],
            words=2,
        ),
        "## How many parts it takes\n",
        paragraph(
            "The fewest parts with which a strategy can promise a rate of failures, misses among bad parts or false "
            "rejects among good ones; with so few, none of them may fail. edge-train validates on a fifth of the "
            "photographs if it splits them itself: a promise about good parts takes five times as many good "
            "photographs, if each part was photographed once."
        ),
        table(
            ("failures at most", *(f"{one:.0%} confidence" for one in CONFIDENCES)),
            [(f"{at_most:.0%}", *(str(fewest_parts(at_most, one)) for one in CONFIDENCES)) for at_most in RATES],
        ),
        "## What it costs\n",
        paragraph(
            f"`{as_option(*COMPARED[0])}` (quantile), which the one-class recipes have, and "
            f"`{as_option(*COMPARED[1])}` (promise), by the number of good parts to choose on: the share of draws that "
            "keep the rate, and means over the draws of the recall and of the rate of false rejects on the line. The "
            "promise is paid with recall, the more the fewer parts there are."
        ),
        table(
            ("line", "good parts", "quantile: kept", "recall", "rejects", "promise: kept", "recall", "rejects"),
            [_cost(name, size, costs) for name in lines for size in SIZES],
        ),
        _default(costs),
    ]
    return "\n".join(said)


def _kept(name: str, rows: Sequence[Row], lines: Sequence[Line]) -> str:
    sizes = sorted({(line.chosen_on[False], line.chosen_on[True]) for line in lines})
    counts = " or ".join(f"{good} good and {bad} bad" for good, bad in sizes)
    head = ("strategy", "promised", "kept", "interval", "worst run", "kept its word", "recall", "false rejects")
    refusals = [next(iter(row.refused.values())) for row in rows if row.refused]
    return "\n".join(
        [
            f"### {name}\n",
            paragraph(
                f"{counted(len(lines), 'run')}; {counts} parts to choose on. Recall and false rejects are means."
            ),
            table(head, [_row(row) for row in rows if row.draws]),
            *(paragraph(f"Refused: {reason}.") for reason in refusals),
        ]
    )


def _row(row: Row) -> tuple[str, ...]:
    kept = sum(row.kept.values())
    share = rate(kept, row.draws, SURE)
    promised = row.parameters[CONFIDENCE] if STRATEGIES[row.strategy].promises else None
    fewest = min(row.kept.values()) * len(row.kept) / row.draws
    return (
        f"`{row.option}`",
        "-" if promised is None else f"{promised:g}",
        f"{kept / row.draws:.3f}",
        f"{share.low:.3f} to {share.high:.3f}",
        f"{fewest:.3f}",
        "-" if promised is None else keeps_word(row, promised),
        f"{row.recall / row.draws:.3f}",
        f"{row.false_rejects / row.draws:.4f}",
    )


def keeps_word(row: Row, promised: float) -> str:
    """Whether all runs together and each run keep the promise as often as it says, as far as the draws can tell."""
    each = row.draws // len(row.kept)
    single = 1 - (1 - SURE) / len(row.kept)
    together = rate(sum(row.kept.values()), row.draws, SURE).high >= promised
    is_kept = together and all(rate(one, each, single).high >= promised for one in row.kept.values())
    return "yes" if is_kept else "**no**"


def _told(row: Row) -> tuple[str, ...]:
    return (
        row.line,
        f"`{row.option}`",
        *(_shares(row.told[is_kept]) for is_kept in (True, False)),
        " / ".join(str(row.own[one]) for one in Kept) + (f", {len(row.refused)} refused" if row.refused else ""),
    )


def _shares(told: Counter[str]) -> str:
    total = told.total() - told[ABSENT]
    return " / ".join(f"{told[one] / total:.3f}" for one in Kept) if total else "-"


def _cost(name: str, size: int, costs: Sequence[Cost]) -> tuple[str, ...]:
    cells: list[str] = []
    for strategy, _ in COMPARED:
        (one,) = [one for one in costs if (one.line, one.strategy, one.good) == (name, strategy, size)]
        if one.kept is None or one.false_rejects is None:
            cells += ["refused", "-", "-"]
        else:
            recall = "-" if one.recall is None else f"{one.recall:.3f}"
            cells += [f"{one.kept:.3f}", recall, f"{one.false_rejects:.4f}"]
    return name, str(size), *cells


def _default(costs: Sequence[Cost]) -> str:
    """Why the one-class recipes do not make a promise by default."""
    strategy, parameters = COMPARED[1]
    fewest = fewest_parts(parameters["at_most"], parameters[CONFIDENCE])
    refused = sorted({one.good for one in costs if one.strategy == strategy and one.kept is None})
    return paragraph(
        f"The one-class recipes keep the quantile as their default. A promise of {parameters['at_most']:.0%} takes "
        f"{fewest} good validation parts, which is a folder of {PER_VALIDATION_PART * fewest} good photographs that "
        f"edge-train splits itself; with {' or '.join(map(str, refused)) or 'none'} of them it refuses, and a first "
        "training on a hundred photographs would end in a refusal. The report says whether the quantile gave what was "
        "asked for."
    )
