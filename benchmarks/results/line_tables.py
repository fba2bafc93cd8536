"""The tables of a rendered line: ours beside what the authors of a network reported, epochs, thresholds, live parts."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.cells import NONE, cell, number, span, table, wrapped
from benchmarks.results.in_turns import THEIRS, InTurns
from benchmarks.results.measure import sheet_file
from benchmarks.results.outcome import Figure, Outcome
from benchmarks.results.plan import Theirs
from benchmarks.results.reasons import because
from benchmarks.results.sheets import Shown
from edge.evaluation.metrics import Confusion, Rate
from edge.evaluation.threshold_stability import Promise
from train.run import SplitFigures

STRATEGIES = {
    "best-f1": "best F1",
    "recall": "recall (TPR) 0.95",
    "specificity": "specificity (TNR) 0.95",
    "midway": "midway between these two",
    "balanced": "balanced",
}
"""The strategies of the experiments and the one of the recipes, with the heads of their columns."""

SHOWN = {
    "misses": "{shown} of the bad photographs that it misses ({of} in all)",
    "lowest": "it misses none; the {shown} of {of} bad photographs with the lowest scores",
    "evenly": "{shown} of {of} bad photographs, evenly spaced in the order of their scores",
}


def line_tables(found: Sequence[Outcome], page: Path | None) -> list[str]:
    """The tables of one rendered line, with the contact sheets that lie beside `page`."""
    sections = [_main(found), _masks(found), _reported(found), _epochs(found), _strategies(found), _live(found)]
    return [section for section in (*sections, _in_turns(found), _sheets(found, page)) if section]


def _main(found: Sequence[Outcome]) -> str:
    heads = ["", "seeds", "AUROC", "precision", "there", "recall (TPR)", "there", "specificity (TNR)", "there"]
    heads += ["Dice", "Dice, counted as there", "there", "training, minutes", "p50 ms"]
    rows = []
    for outcome in found:
        theirs = _first(outcome)
        first = outcome.runs[0]
        latency = [run.latency_ms for run in outcome.runs if run.latency_ms is not None]
        rows.append(
            [
                f"`{outcome.entry.label}`",
                str(len(outcome.runs)),
                cell(outcome.auroc()),
                cell(outcome.precision()),
                number(theirs.precision),
                cell(outcome.recall()),
                number(theirs.recall),
                cell(outcome.specificity()),
                number(theirs.specificity),
                cell(outcome.dice() if first.masks is None else _alone(first.masks.plain.dice)),
                cell(None if first.masks is None else _alone(first.masks.counted.dice)),
                number(theirs.dice),
                span([run.record.minutes for run in outcome.runs if run.record.minutes is not None]),
                f"{latency[0]:.1f}" if latency else NONE,
            ]
        )
    return table(heads, rows) + wrapped(
        "There: what the authors of the network reported of their own photographs, which are not these. Dice: the mean "
        "over the bad photographs. Dice, counted as there: the mean over all photographs, and a good one without a "
        "predicted pixel counts 1. Each is taken at the level of the map that is best in its own counting on "
        "validation, for the first seed."
    )


def _masks(found: Sequence[Outcome]) -> str:
    measured = [(outcome, masks) for outcome in found if (masks := outcome.runs[0].masks)]
    if not measured:
        return ""
    heads = ["", "level", "Dice", "IoU", "level, counted as there", "Dice", "there", "IoU", "there"]
    rows = [
        [
            f"`{outcome.entry.label}`",
            f"{masks.plain.level:.3g}",
            number(masks.plain.dice),
            number(masks.plain.iou),
            f"{masks.counted.level:.3g}",
            number(masks.counted.dice),
            number(_first(outcome).dice),
            number(masks.counted.iou),
            number(_first(outcome).iou),
        ]
        for outcome, masks in measured
    ]
    example = measured[0][1]
    return (
        "Masks, in both countings:\n\n"
        + table(heads, rows)
        + wrapped(
            f"{example.bad} bad ones among {example.photographs} test photographs. A network that predicts no pixel "
            f"has 0 in the plain counting and {example.nothing:.3f} in the other."
        )
    )


def _reported(found: Sequence[Outcome]) -> str:
    rows = [
        [f"`{outcome.entry.label}`", one.said, *(number(value) for value in _values(one))]
        for outcome in found
        for one in outcome.entry.reported
    ]
    heads = ["", "what they did", "precision", "recall", "specificity", "Dice", "IoU"]
    return "All that was reported there:\n\n" + table(heads, rows) if rows else ""


def _epochs(found: Sequence[Outcome]) -> str:
    """The kept epoch beside the last one, of the first seed."""
    rows, same = [], []
    for outcome in found:
        run = outcome.runs[0]
        selection, last = run.record.selection, run.record.last
        assert selection is not None
        if last is None:
            same.append(f"`{outcome.entry.label}`")
            continue
        by = f"{selection.best} {selection.criterion}"
        told = {
            is_last: next((one for one in outcome.entry.reported if one.is_last == is_last), None) for is_last in (0, 1)
        }
        for what, metrics, theirs in (
            (f"{selection.epoch + 1}, kept: {by} {selection.value:.4g}", run.record.metrics, told[0]),
            (f"{last.epoch + 1}, last: {last.value:.4g}", last.metrics, told[1]),
        ):
            if (of_test := metrics.get("test")) is not None:
                rows.append([f"`{outcome.entry.label}`", what, *_judged(of_test), _said(theirs)])
    if not rows and not same:
        return ""
    heads = ["", "epoch", "precision", "recall", "specificity", "AUROC", "Dice", "reported there"]
    said = wrapped(f"{', '.join(same)}: the last epoch of the first seed is the kept one.") if same else ""
    if not rows:
        return said
    about = "The kept epoch and the last one, first seed, each at a threshold of its own from validation:\n\n"
    return about + table(heads, rows) + said


def _judged(of: SplitFigures) -> list[str]:
    figures = of.figures
    values = (figures.precision.value, figures.recall.value, figures.specificity.value, figures.auroc)
    return [*(number(value) for value in values), number(of.overlap.dice if of.overlap else None)]


def _strategies(found: Sequence[Outcome]) -> str:
    """What each strategy promised on validation and gave on test, of the first seed."""
    rows = [
        [f"`{outcome.entry.label}`", *(_kept(outcome.runs[0].promises.get(name)) for name in STRATEGIES)]
        for outcome in found
        if outcome.runs[0].promises
    ]
    if not rows:
        return ""
    said = wrapped(
        "Recall / specificity, promised on validation and given on test; bold where the difference is larger than "
        "chance explains (p < 0.05, parts taken together)."
    )
    reasons = [(outcome.entry.label, because(one)) for outcome in found if (one := outcome.runs[0].reasons)]
    if reasons:
        said += wrapped(f"Why, as the report of `{reasons[0][0]}` finds: {reasons[0][1]}")
    if reasons[1:]:
        others = "".join(f"- `{label}`: {text}\n" for label, text in reasons[1:])
        said += f"\n<details><summary>Why, of the other rows</summary>\n\n{others}\n</details>\n"
    return "Threshold strategies, first seed:\n\n" + table(["", *STRATEGIES.values()], rows) + said


def _kept(promise: Promise | None) -> str:
    if promise is None:
        return NONE
    given = _pair(promise.given)
    return f"{_pair(promise.promised)}<br>{given if promise.held else f'**{given}**'}"


def _pair(counts: Confusion) -> str:
    return f"{number(counts.recall.value)} / {number(counts.specificity.value)}"


def _live(found: Sequence[Outcome]) -> str:
    measured = [(outcome, live) for outcome in found if (live := outcome.runs[0].live)]
    if not measured:
        return ""
    heads = ["", "parts", "a minute", "recall", "specificity", "unknown", "artifact", "p50 ms", "p99 ms"]
    rows = [
        [
            f"`{outcome.entry.label}`",
            f"{live.parts:,}",
            f"{60 * live.rate_per_s:g}",
            _rate(live.confusion.recall),
            _rate(live.confusion.specificity),
            ", ".join(f"{count} {reason}" for reason, count in live.unknown.items()) or "0",
            live.artifact,
            f"{live.p50_ms:.1f}",
            f"{live.p99_ms:.1f}",
        ]
        for outcome, live in measured
    ]
    first = measured[0][1]
    return (
        "Live, as parts of the line that no photograph shows, one in five of them bad:\n\n"
        + table(heads, rows)
        + wrapped(
            f"`{first.command}`; milliseconds from capture to publication. A rate with unknown parts is halved. "
            f"{'The light of a live line is that of validation.' if first.line == 'pour' else ''}"
        )
    )


def _in_turns(found: Sequence[Outcome]) -> str:
    return "".join(_programs(outcome, one) for outcome in found if (one := outcome.runs[0].in_turns))


def _programs(outcome: Outcome, one: InTurns) -> str:
    heads = [
        "",
        "seconds",
        "photographs a second",
        "verdicts as the experiments' program",
        "largest difference of a score",
    ]
    rows = [
        [
            program.name if program.name == THEIRS else f"exported, {program.name}",
            f"**{program.seconds:.1f}**",
            f"{one.photographs / program.seconds:.1f}",
            f"{program.same:,} of {one.photographs:,}",
            f"{program.difference:.2g}",
        ]
        for program in one.programs
    ]
    return (
        f"The exported `{outcome.entry.label}` and the experiments' way (PIL, PyTorch eager, a batch of one), from "
        f"file to score:\n\n{table(heads, rows)}"
        + wrapped(
            f"All on the same {one.photographs:,} test photographs, of {one.sizes:,} sizes, in turns in one process; "
            f"{one.threads} threads, {one.processor}, load {one.load_before:.1f} before. A runtime prepares itself "
            "for each new size of frame; a camera has one size."
        )
    )


def _sheets(found: Sequence[Outcome], page: Path | None) -> str:
    """The contact sheets that were drawn, each with what it shows."""
    said = []
    for outcome in found:
        shown = outcome.runs[0].shown
        if page is None or shown is None or not sheet_file(page, outcome.entry.folder).exists():
            continue
        said.append(
            f"![Bad photographs, as {outcome.entry.label} sees them]({sheet_file(page, outcome.entry.folder).name})\n"
        )
        said.append(f"{wrapped(_caption(outcome, shown))}\n")
    return "".join(said)


def _caption(outcome: Outcome, shown: Shown) -> str:
    which = SHOWN[shown.which].format(shown=shown.shown, of=shown.of)
    return f"`{outcome.entry.label}`: {which}. From left to right: {'; '.join(shown.pictures)}."


def _first(outcome: Outcome) -> Theirs:
    """The reported figures that stand beside ours."""
    return outcome.entry.reported[0] if outcome.entry.reported else Theirs(said="")


def _values(one: Theirs) -> tuple[float | None, ...]:
    return one.precision, one.recall, one.specificity, one.dice, one.iou


def _said(one: Theirs | None) -> str:
    if one is None:
        return NONE
    names = ("precision", "recall", "specificity", "Dice", "IoU")
    pairs = [f"{name} {value:.3f}" for name, value in zip(names, _values(one), strict=True) if value is not None]
    return ", ".join(pairs) or NONE


def _alone(value: float) -> Figure:
    return Figure(value, (value,))


def _rate(rate: Rate) -> str:
    if rate.value is None:
        return NONE
    return f"**{rate.value:.3f}** [{rate.low:.2f}, {rate.high:.2f}]<br>{rate.successes} of {rate.trials}"
