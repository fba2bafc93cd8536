"""Gives a bundle another threshold, by what people said of parts that a station judged with it. Trains nothing.

The graphs stay as they are. Each artifact scores the kept pictures of the reviewed parts once more here: the artifact
that ran on the line has to give the scores that the record has, and every other artifact gets the threshold at which it
gives the same verdicts. The new bundle carries the decisions and this proof; it is not signed.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge.backends import check_golden, check_static, load_from
from edge.bundle import Bundle, Interval, Threshold
from edge.errors import BundleError
from edge.evaluation.thresholds import nearest_threshold
from edge.machine import cores
from edge.records.part_image import PartImage, read_image
from edge.review import ReviewError
from edge.review.candidates import Judgement, candidates
from edge.review.estimates import FEWEST, AtThreshold, Estimate
from edge.review.sample import Reviewed
from edge.terminal.progress import Stage
from edge.text import counted
from edge.verdict import Outcome
from export.bundle_copy import write_copy

FIGURES, PAGE = "rethreshold.json", "rethreshold.html"
"""Files of the new bundle: decisions, table and proof; the same for people."""

MOST_TURNED = 0.02
"""Largest share of the reviewed parts to which another artifact may give another verdict; it may pass no bad part that
the artifact on the line rejects.
"""

STATIC_SHAPE = (720, 1280)
"""(height, width) for which the static variants are checked, as at export."""


@dataclass(frozen=True)
class Scored:
    """The reviewed rejects and goods with a kept picture, and the scores that each artifact gives them here."""

    parts: Sequence[Reviewed]
    scores: Mapping[str, Sequence[float]]
    largest_difference: float
    """Of the artifact that ran on the line, from the scores in the record."""


@dataclass(frozen=True)
class Change:
    """A new threshold: what was reviewed, how it was chosen, and why."""

    judgement: Judgement
    threshold: float
    how: str
    reason: str

    @property
    def before(self) -> AtThreshold:
        """The estimates at the old threshold."""
        return self.judgement.at(self.judgement.old)

    @property
    def after(self) -> AtThreshold:
        """The estimates at the new threshold."""
        return self.judgement.at(self.threshold)


def check_threshold(bundle: Bundle, judgement: Judgement) -> None:
    """Raise ReviewError unless the verdicts have the threshold that the bundle has for their artifact."""
    artifact = bundle.artifact(judgement.artifact)
    if artifact.threshold.value != judgement.old:
        raise ReviewError(
            f"{judgement.artifact} of {bundle.label} has the threshold {judgement.old:.6g} in the record and "
            f"{artifact.threshold.value:.6g} in the bundle; no station wrote that record"
        )


def score_again(bundle: Bundle, judgement: Judgement, stage: Stage) -> Scored:
    """Score the kept pictures of the reviewed rejects and goods with each artifact of the bundle; unknowns have no
    score in the record.

    Raises ReviewError if too few pictures are kept, or if the artifact that ran on the line gives one of them another
    score than the record has; RecordsError if a picture is not the one that was stored.
    """
    reviewed = judgement.reviewed
    kept = [
        one
        for one in reviewed.known
        if (one.folder, one.decision.key) in reviewed.pictures
        and one.decision.judged.outcome is not Outcome.UNKNOWN
        and math.isfinite(one.score)
    ]
    if len(kept) < FEWEST:
        raise ReviewError(
            f"the pictures of only {len(kept)} reviewed rejects and goods are kept; {FEWEST} are the least that prove "
            "that the scores are those of this bundle"
        )
    artifacts = bundle.manifest.artifacts
    step = stage("scoring the reviewed parts again", len(artifacts) * len(kept))
    scores: dict[str, list[float]] = {}
    for name in artifacts:
        backend, scores[name] = load_from(bundle, name, cores()), []
        for one in kept:
            picture = reviewed.pictures[one.folder, one.decision.key]
            frame = read_image(one.folder, PartImage(picture.path, picture.sha256))
            scores[name].append(float(backend.infer(frame).score))
            step()
    bounds = bundle.manifest.bounds(judgement.artifact)
    largest = 0.0
    for one, score in zip(kept, scores[judgement.artifact], strict=True):
        difference = abs(score - one.score)
        largest = max(largest, difference)
        if difference > bounds.score_tolerance * bounds.score_growth(one.score):
            raise ReviewError(
                f"part {one.decision.part} has the score {score:.6g} here and {one.score:.6g} in the record: the "
                "station ran with another precision, or the record is of another model"
            )
    return Scored(kept, scores, largest)


def write_bundle(bundle: Bundle, change: Change, scored: Scored, out: Path, stage: Stage) -> Bundle:
    """Write the bundle `out` with the new threshold, its data and its proof, without signatures.

    Raises BundleError if `out` exists, or if an artifact fails on the golden frames; ReviewError if another artifact
    gives too many of the reviewed parts another verdict.
    """
    if out.exists():
        raise BundleError(f"{out} exists; remove it or choose another name with --out")
    from export.rethreshold_page import write_page

    values = transferred(change, scored)
    check_transfer(change, scored, values)
    artifacts = {
        name: artifact.model_copy(update={"threshold": _threshold(change, values[name])})
        for name, artifact in bundle.manifest.artifacts.items()
    }
    provenance = bundle.manifest.provenance | _provenance(bundle, change)
    manifest = bundle.manifest.model_copy(update={"artifacts": artifacts, "provenance": provenance})
    stage("table of the thresholds")
    figures = figures_of(change, bundle, scored, values)

    def add(work: Path) -> None:
        (work / FIGURES).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        write_page(work / PAGE, change, bundle.label)

    return write_copy(bundle, manifest, out, add, lambda sealed: _check_loaded(sealed, stage))


def transferred(change: Change, scored: Scored) -> dict[str, float]:
    """The threshold of each artifact: that which was chosen for the artifact that ran on the line, and for each other
    one the value at which it gives the reviewed parts the same verdicts, or as many of them as possible, but passes no
    bad part that the artifact on the line rejects.
    """
    said = [one.score >= change.threshold for one in scored.parts]
    values = {}
    for name, scores in scored.scores.items():
        value = nearest_threshold(scores, said, change.threshold)
        kept = [
            score for score, one, rejected in zip(scores, scored.parts, said, strict=True) if rejected and one.is_bad
        ]
        values[name] = value if min(kept, default=value) >= value else _below(min(kept), scores)
    return values | {change.judgement.artifact: change.threshold}


def _below(score: float, scores: Sequence[float]) -> float:
    """The middle between a score and the next lower one; the score itself if there is none."""
    lower = max((other for other in scores if other < score), default=score)
    middle = lower + (score - lower) / 2
    return middle if middle > lower else score


def check_transfer(change: Change, scored: Scored, values: Mapping[str, float]) -> None:
    """Raise ReviewError if an artifact gives too many of the reviewed parts another verdict than the one on the line
    does, or passes a bad part that is rejected there: there is no threshold for it that means the same.
    """
    for name, scores in scored.scores.items():
        passed = sum(
            one.is_bad and one.score >= change.threshold and score < values[name]
            for one, score in zip(scored.parts, scores, strict=True)
        )
        if passed and name != change.judgement.artifact:
            raise ReviewError(
                f"{name} passes {counted(passed, 'bad part')} that {change.judgement.artifact} rejects at "
                f"{change.threshold:.6g}; choose another threshold"
            )
    for name, turned in turned_by(change, scored, values).items():
        if turned > MOST_TURNED * len(scored.parts):
            raise ReviewError(
                f"{name} gives {turned} of {len(scored.parts)} reviewed parts another verdict than "
                f"{change.judgement.artifact} at {change.threshold:.6g}, whatever its threshold; {MOST_TURNED:.0%} are "
                "the most; choose another threshold"
            )


def turned_by(change: Change, scored: Scored, values: Mapping[str, float]) -> dict[str, int]:
    """How many of the reviewed parts get another verdict, by artifact, than from the new threshold on the line."""
    said = [one.score >= change.threshold for one in scored.parts]
    return {
        name: sum((score >= values[name]) != rejected for score, rejected in zip(scores, said, strict=True))
        for name, scores in scored.scores.items()
    }


def figures_of(change: Change, bundle: Bundle, scored: Scored, values: Mapping[str, float]) -> dict[str, Any]:
    """All figures as JSON types: the change, its data, the table of thresholds, and the proof."""
    judgement = change.judgement
    reviewed = judgement.reviewed
    return {
        "bundle": bundle.label,
        "sha256": bundle.digest,
        "reason": change.reason,
        "how": change.how,
        "artifact": judgement.artifact,
        "old": judgement.old,
        "new": change.threshold,
        "supported": judgement.limits,
        "before": _as_json(change.before),
        "after": _as_json(change.after),
        "decisions": {
            "sha256": reviewed.digest,
            "parts": [
                {
                    "station": one.decision.station, "epoch": one.decision.epoch, "seq": one.decision.seq,
                    "part": one.decision.part, "bad": one.is_bad, "score": one.decision.judged.score,
                    "way": one.decision.way, "sampled": one.is_sampled,
                }
                for one in reviewed.known
            ],
            "strata": {
                outcome: {
                    "verdicts": stratum.count, "reviewed": stratum.reviewed, "bad": int(stratum.bad.sum()),
                    "unsure": stratum.unsure, "no sample": stratum.apart, "others": stratum.others,
                    "blind": stratum.blind,
                }
                for outcome, stratum in reviewed.strata.items()
            },
        },
        "thresholds": table_of(judgement),
        "proof": {
            "pictures scored again": len(scored.parts),
            "largest difference from the record": scored.largest_difference,
            "artifacts": {
                name: {
                    "threshold": values[name],
                    "verdicts that differ": turned,
                }
                for name, turned in turned_by(change, scored, values).items()
            },
        },
    }  # fmt: skip


def table_of(judgement: Judgement) -> list[dict[str, Any]]:
    """The estimates at every threshold between the reviewed scores, as JSON types, ascending."""
    return [_as_json(judgement.at(value)) for value in candidates(judgement)]


def _as_json(row: AtThreshold) -> dict[str, Any]:
    """The estimates by name; each estimate as value, low and high."""
    return {name: value._asdict() if isinstance(value, Estimate) else value for name, value in vars(row).items()}


def _threshold(change: Change, value: float) -> Threshold:
    reviewed, after = change.judgement.reviewed, change.after
    judged = [reviewed.strata[outcome] for outcome in (Outcome.REJECT, Outcome.GOOD)]
    bad = sum(int(stratum.bad.sum()) for stratum in judged)
    good = sum(stratum.reviewed for stratum in judged) - bad
    stations = ", ".join(sorted({one.decision.station for one in reviewed.known}))
    return Threshold(
        value=value,
        strategy=f"{change.how} on reviewed parts, before {change.judgement.old:.6g}",
        data=f"reviewed parts of {stations}: {good} good, {bad} bad; decisions {reviewed.digest[:12]}",
        recall=_interval(after.recall, bad),
        specificity=_interval(after.specificity, good),
    )


def _interval(estimate: Estimate, count: int) -> Interval:
    return Interval(value=estimate.value, low=estimate.low, high=estimate.high, count=count)


def _provenance(bundle: Bundle, change: Change) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    reviewed = change.judgement.reviewed
    rejects, goods = reviewed.strata[Outcome.REJECT], reviewed.strata[Outcome.GOOD]
    return {
        "rethreshold": f"{change.judgement.old:.6g} to {change.threshold:.6g}, {change.how}, {now}, edge-inspect "
        f"{version('edge-inspect')}",
        "rethreshold reason": change.reason,
        "rethreshold of": bundle.digest,
        "rethreshold data": f"{counted(rejects.reviewed, 'reject')} of {rejects.count}, "
        f"{counted(goods.reviewed, 'good')} of {goods.count}, {len(reviewed.missed)} named as missed",
        "rethreshold decisions sha256": reviewed.digest,
    }


def _check_loaded(bundle: Bundle, stage: Stage) -> None:
    """Check each artifact of the sealed bundle on the golden frames, as an export does."""
    shape = bundle.manifest.letterbox.holding(*STATIC_SHAPE)
    step = stage("golden frames", len(bundle.manifest.artifacts))
    for name in bundle.manifest.artifacts:
        anysize, fixed = (load_from(bundle, name, cores(), size) for size in (None, shape))
        check_golden(bundle, anysize)
        check_static(bundle, anysize, fixed, shape)
        step()
