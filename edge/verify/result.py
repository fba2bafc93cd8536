"""The result of a verification, for the terminal, as JSON, and for the page."""

import json
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from edge.bundle import Bundle, Manifest
from edge.photographs.survey import SurveyRecord
from edge.verify.checks import Check
from edge.verify.scoring import Chosen, Seen

if TYPE_CHECKING:
    from edge.verify.findings import Findings, Flip


@dataclass(frozen=True)
class Judged:
    """The results of the artifacts that passed, on the `chosen` photographs, and the survey; `findings` by artifact."""

    chosen: Chosen
    survey: SurveyRecord
    seen: list[Seen]
    findings: "dict[str, Findings]"
    flips: "list[Flip]"
    notes: list[str]
    out_of_distribution: "OutOfDistribution | None" = None


@dataclass(frozen=True)
class OutOfDistribution:
    """How many of the photographs are unlike those that the bundle was trained on."""

    unlike: int
    photographs: int
    median_distance: float
    limit: float

    @classmethod
    def of(cls, manifest: Manifest, seen: list[Seen]) -> "OutOfDistribution | None":
        """That of these photographs; None if the bundle has no statistics of its own."""
        distances = [one.distance for one in seen if one.distance is not None]
        if manifest.input_statistics is None or not distances:
            return None
        limit = manifest.input_statistics.limit
        return cls(sum(distance > limit for distance in distances), len(distances), median(distances), limit)

    @property
    def is_doubtful(self) -> bool:
        """Whether most of the photographs are unlike those."""
        return self.unlike > self.photographs / 2

    def __str__(self) -> str:
        return (
            f"{self.unlike} of {self.photographs} photographs are unlike those that the bundle was trained on "
            f"(median distance {self.median_distance:.1f}, limit {self.limit:.1f})"
        )


@dataclass(frozen=True)
class Verification:
    """`judged` is None if no photographs were given, or no artifact passed its checks."""

    bundle: Bundle
    machine: dict[str, Any]
    threads: int
    checks: list[Check]
    judged: Judged | None = field(default=None)

    @property
    def thresholds(self) -> dict[str, float]:
        """By artifact: the score from which on a frame is rejected."""
        return {name: artifact.threshold.value for name, artifact in self.bundle.manifest.artifacts.items()}

    @property
    def passed(self) -> bool:
        """Whether every artifact passed its checks; metrics on photographs have no effect."""
        return all(check.passed for check in self.checks)

    def as_json(self) -> str:
        """The result as JSON, with the scores of every photograph."""
        manifest, judged = self.bundle.manifest, self.judged
        return json.dumps(
            {
                "passed": self.passed,
                "bundle": self.bundle.label,
                "sha256": self.bundle.digest,
                "task": manifest.task,
                "simulated": manifest.simulated,
                "thresholds": self.thresholds,
                "machine": self.machine,
                "threads": self.threads,
                "checks": [check.model_dump(mode="json") | {"passed": check.passed} for check in self.checks],
                "data": None if judged is None else _data(judged),
                "artifacts": {}
                if judged is None
                else {k: v.model_dump(mode="json") for k, v in judged.findings.items()},
                "flips": [] if judged is None else [flip.model_dump(mode="json") for flip in judged.flips],
                "photographs": [] if judged is None else [_photograph(one) for one in judged.seen],
            },
            ensure_ascii=False,
        )


def judged_score(score: float, threshold: float) -> str:
    """A score, with the digits that distinguish any two float32 numbers, and its verdict."""
    return f"{score:.9g} {'reject' if score >= threshold else 'good'}"


def notes_on(seen: list[Seen]) -> list[str]:
    """Limitations of the evaluation on these photographs, with reasons."""
    bad, parts = [one for one in seen if one.photograph.is_bad], [one.photograph.details.get("part") for one in seen]
    said = []
    if not bad:
        said.append("no bad photographs: nothing is known of recall")
    if len(bad) == len(seen):
        said.append("no good photographs: nothing is known of specificity")
    if any(parts) and not all(parts):
        unnamed = parts.count(None) + parts.count("")
        said.append(f"{unnamed} of {len(parts)} photographs name no part: no figure is by part")
    without = [one for one in bad if one.photograph.mask is None]
    if bad and 0 < len(without) < len(bad):
        said.append(f"{len(without)} of {len(bad)} bad photographs have no mask: Dice and IoU leave them out")
    return said


def doubts_about(said: "dict[str, Findings]") -> list[str]:
    """One line per artifact that does not measurably distinguish these good photographs from the bad ones."""
    return [
        f"{name} does not tell good from bad on these photographs: its AUROC is {found.figures.auroc:.3f} "
        f"[{found.auroc_low:.3f}, {found.auroc_high:.3f}], and guessing has 0.5; do they show the part of the bundle?"
        for name, found in said.items()
        if found.figures.auroc is not None and found.auroc_low is not None and found.auroc_low <= 0.5
    ]


def _data(judged: Judged) -> dict[str, Any]:
    bad = sum(one.photograph.is_bad for one in judged.seen)
    return {
        "folder": str(judged.chosen.folder),
        "layout": judged.chosen.layout,
        "split": judged.chosen.split,
        "good": len(judged.seen) - bad,
        "bad": bad,
        "notes": judged.notes,
        "survey": judged.survey.model_dump(mode="json"),
        "out_of_distribution": None if judged.out_of_distribution is None else asdict(judged.out_of_distribution),
    }


def _photograph(one: Seen) -> dict[str, Any]:
    photograph = one.photograph
    return {
        "name": photograph.name,
        "label": photograph.label,
        "defect": photograph.defect,
        "part": photograph.details.get("part"),
        "scores": one.scores,
        "distance": one.distance,
        "ms": {name: round(value, 3) for name, value in one.ms.items()},
        "dice": {name: dice for name, (dice, _) in one.overlaps.items()},
        "iou": {name: iou for name, (_, iou) in one.overlaps.items()},
    }
