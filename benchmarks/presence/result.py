"""The result of the runs: a row for each belt, the sums, and whether each claim holds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.presence.judge import Judged, Run

MOST_RECALL_LOST = 0.005
"""Recall may be lower by this much than on the same parts in isolation."""


@dataclass(frozen=True)
class Row:
    """One belt, or all. `recall` and `specificity` are those of the chosen frames, `…_alone` those of isolated parts.

    `excess_px` is the largest distance in pixels by which a chosen frame was worse centred than the best of all frames.
    """

    rate: float
    speed: float
    pitch: float
    parts: int
    once: int
    missing: int
    twice: int
    unknown: int
    strangers: int
    bad: int
    recall: float
    recall_alone: float
    specificity: float
    specificity_alone: float
    off_px: float
    excess_px: float
    see_ms: float


def row(runs: Sequence[Run], threshold: float) -> Row:
    """The sum of runs; rate, speed and pitch are those of the first."""
    parts = [part for run in runs for part in run.parts]
    case = runs[0].case
    bad, good = ([part for part in parts if part.truth == truth] for truth in ("bad", "good"))
    seen = [part for part in parts if part.score == part.score]
    return Row(
        rate=case.rate,
        speed=case.speed,
        pitch=case.pitch,
        parts=len(parts),
        once=sum(part.verdicts == 1 for part in parts),
        missing=sum(part.verdicts == 0 for part in parts),
        twice=sum(part.verdicts > 1 for part in parts),
        unknown=sum(part.unknown for part in parts),
        strangers=sum(run.strangers for run in runs),
        bad=len(bad),
        recall=_share([part.score >= threshold for part in bad]),
        recall_alone=_share([part.score_alone >= threshold for part in bad]),
        specificity=_share([part.score < threshold for part in good]),
        specificity_alone=_share([part.score_alone < threshold for part in good]),
        off_px=max((part.off for part in seen), default=float("nan")),
        excess_px=max((part.off - part.least_off for part in seen), default=float("nan")),
        see_ms=median(ms for run in runs for ms in run.see_ms),
    )


def claims(total: Row, live: dict[str, Any] | None) -> dict[str, bool | None]:
    """Each claim and whether it holds; None if it was not tested."""
    return {
        "every part has exactly one verdict": total.once == total.parts,
        "no verdict is of no part": total.strangers == 0,
        "no part is unknown": total.unknown == 0,
        "recall is within 0.5 points of the parts by themselves": total.recall >= total.recall_alone - MOST_RECALL_LOST,
        "through a real station: each part once": None if live is None else not (live["missing"] or live["twice"]),
        "through a real station: all in order and none taken for another": None if live is None else live["holds"],
    }


def flips(parts: Sequence[Judged], threshold: float) -> dict[str, int]:
    """Numbers of bad parts that were stopped on the belt only, or in isolation only."""
    bad = [part for part in parts if part.truth == "bad"]
    return {
        "stopped only by itself": sum(not part.score >= threshold and part.score_alone >= threshold for part in bad),
        "stopped only as found": sum(part.score >= threshold and not part.score_alone >= threshold for part in bad),
    }


def as_dict(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows for JSON."""
    return [asdict(one) for one in rows]


def _share(said: list[bool]) -> float:
    return sum(said) / len(said) if said else float("nan")
