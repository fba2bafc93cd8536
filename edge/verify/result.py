"""Everything a verification found, in one value: for the terminal, as JSON, for the page."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge.bundle import Bundle
from edge.photographs.survey import SurveyRecord
from edge.verify.checks import Check
from edge.verify.scoring import Chosen, Seen

if TYPE_CHECKING:
    from edge.verify.findings import Findings, Flip


@dataclass(frozen=True)
class Judged:
    """What the artifacts that passed did with the photographs `chosen`, and their survey; `findings` by artifact."""

    chosen: Chosen
    survey: SurveyRecord
    seen: list[Seen]
    findings: "dict[str, Findings]"
    flips: "list[Flip]"
    notes: list[str]


@dataclass(frozen=True)
class Verification:
    """`judged` is None where no photographs were given, or no artifact passed its checks."""

    bundle: Bundle
    machine: dict[str, Any]
    threads: int
    checks: list[Check]
    judged: Judged | None = field(default=None)

    @property
    def thresholds(self) -> dict[str, float]:
        """By artifact: a score from there on is a reject."""
        return {name: artifact.threshold.value for name, artifact in self.bundle.manifest.artifacts.items()}

    @property
    def passed(self) -> bool:
        """Whether every artifact passed its checks; figures on photographs pass no judgement."""
        return all(check.passed for check in self.checks)

    def as_json(self) -> str:
        """All of it as JSON, every photograph with its scores."""
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
    """A score, with the digits that tell any two float32 apart, and its verdict."""
    return f"{score:.9g} {'reject' if score >= threshold else 'good'}"


def notes_on(seen: list[Seen]) -> list[str]:
    """What cannot be said of these photographs, and why."""
    bad, parts = [one for one in seen if one.photograph.is_bad], [one.photograph.details.get("part") for one in seen]
    said = []
    if not bad:
        said.append("no bad photographs: nothing is known of recall")
    if len(bad) == len(seen):
        said.append("no good photographs: nothing is known of specificity")
    if any(parts) and not all(parts):
        said.append(f"{parts.count(None) + parts.count('')} of {len(parts)} photographs name no part: none is by part")
    without = [one for one in bad if one.photograph.mask is None]
    if bad and 0 < len(without) < len(bad):
        said.append(f"{len(without)} of {len(bad)} bad photographs have no mask: Dice and IoU are without them")
    return said


def doubts_about(said: "dict[str, Findings]") -> list[str]:
    """Which artifacts do not measurably tell the good of these photographs from the bad, a line each."""
    return [
        f"{name} is not measurably better than guessing on these photographs, AUROC {found.figures.auroc:.3f} "
        f"[{found.auroc_low:.3f}, {found.auroc_high:.3f}]: are they of the part that the bundle was made for?"
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
    }


def _photograph(one: Seen) -> dict[str, Any]:
    photograph = one.photograph
    return {
        "name": photograph.name,
        "label": photograph.label,
        "defect": photograph.defect,
        "part": photograph.details.get("part"),
        "scores": one.scores,
        "ms": {name: round(value, 3) for name, value in one.ms.items()},
        "dice": {name: dice for name, (dice, _) in one.overlaps.items()},
        "iou": {name: iou for name, (_, iou) in one.overlaps.items()},
    }
