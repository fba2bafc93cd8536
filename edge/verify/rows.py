"""The metrics as text, one row each with one cell per artifact, for the terminal and the page."""

from collections.abc import Mapping, Sequence

from edge.evaluation.metrics import Rate
from edge.verify.findings import Findings

Row = tuple[str, list[str]]
NONE = "–"


def rate(one: Rate) -> str:
    """The value and its 95 % interval."""
    return NONE if one.value is None else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def counted(one: Rate) -> str:
    """The counts and the 95 % interval."""
    return f"{one.successes} of {one.trials} [{one.low:.3f}, {one.high:.3f}]"


def number(value: float | None) -> str:
    """Three decimals, or a dash."""
    return NONE if value is None else f"{value:.3f}"


def figure_rows(said: Mapping[str, Findings]) -> list[Row]:
    """Metrics at the threshold, by photograph and, if parts are named, by part; latency last."""
    all_said = list(said.values())
    rows: list[Row] = [
        ("recall", [rate(one.figures.recall) for one in all_said]),
        ("specificity", [rate(one.figures.specificity) for one in all_said]),
        ("precision", [rate(one.figures.precision) for one in all_said]),
        ("F1", [number(one.figures.f1) for one in all_said]),
        ("AUROC", [_auroc(one) for one in all_said]),
        ("average precision", [number(one.figures.average_precision) for one in all_said]),
        ("bad: rejected, missed", [_pair(one.figures.confusion.tp, one.figures.confusion.fn) for one in all_said]),
        ("good: passed, rejected", [_pair(one.figures.confusion.tn, one.figures.confusion.fp) for one in all_said]),
    ]
    if all(one.by_part and one.by_part.whole_parts for one in all_said):
        rows += _part_rows(all_said)
    if any(one.overlap for one in all_said):
        rows += _overlap_rows(all_said)
    rows.append(("p50, p99", [f"{o.latency.p50_ms:.2f}, {o.latency.p99_ms:.2f} ms" for o in all_said]))
    return rows


def kind_rows(said: Mapping[str, Findings]) -> list[Row]:
    """Rejection rate of each kind of defect."""
    kinds = next(iter(said.values())).kinds
    return [(kind, [counted(one.kinds[kind]) for one in said.values()]) for kind in kinds]


def _part_rows(all_said: Sequence[Findings]) -> list[Row]:
    by_part = [one.by_part for one in all_said if one.by_part]
    count = by_part[0].parts
    whole = [one.whole_parts for one in by_part if one.whole_parts]
    return [
        (f"recall, {count} parts once", [rate(one.recall) for one in by_part]),
        (f"specificity, {count} parts once", [rate(one.specificity) for one in by_part]),
        ("recall of whole parts", [rate(one.recall) for one in whole]),
        ("specificity of whole parts", [rate(one.specificity) for one in whole]),
        ("AUROC of whole parts", [number(one.auroc) for one in whole]),
    ]


def _overlap_rows(all_said: Sequence[Findings]) -> list[Row]:
    first = next(one.overlap for one in all_said if one.overlap)
    about = f"{first.photographs} maps ≥ {first.level:.4g}"
    return [
        (f"Dice of {about}", [number(one.overlap.dice if one.overlap else None) for one in all_said]),
        (f"IoU of {about}", [number(one.overlap.iou if one.overlap else None) for one in all_said]),
    ]


def _auroc(one: Findings) -> str:
    if one.figures.auroc is None or one.auroc_low is None or one.auroc_high is None:
        return NONE
    return f"{one.figures.auroc:.4f} [{one.auroc_low:.3f}, {one.auroc_high:.3f}]"


def _pair(first: int, second: int) -> str:
    return f"{first}, {second}"
