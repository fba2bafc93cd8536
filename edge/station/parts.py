"""A part in flight, and its verdict."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from edge.station.process.messages import Captured, Inferred, Located
from edge.verdict import Box, Defect, Fields, Outcome, Reason, Timing, Verdict

if TYPE_CHECKING:
    from edge.bundle import Artifact
    from edge.station.inspection import Inspection


@dataclass(frozen=True)
class Finding:
    """The result for a part: its score, or the reason why it has none."""

    score: float | None = None
    reason: Reason | None = None
    detail: str | None = None


NEVER = 2**63 - 1
"""The deadline of a part whose clock has not started."""


@dataclass
class Part:
    """An accepted part on its way to its verdict. `finding` is set once, by the first event that decides the part.

    A part announced by a trigger has no capture until its frame arrives. Its clock starts at `captured_ns`, the
    exposure or the trigger; the clock of a stored picture starts when the model starts on it.
    """

    seq: int
    name: str
    captured_ns: int
    deadline_ns: int
    inspection: "Inspection"
    capture: Captured | None = None
    is_submitted: bool = False
    finding: Finding | None = None
    inferred: Inferred | None = None
    fields: Fields | None = None
    product: str | None = None

    @property
    def exposed_ns(self) -> int | None:
        """When the frame was exposed, as nearly as the source can tell; None without a frame."""
        if self.capture is None or (self.capture.fault is not None and self.capture.fault.reason is Reason.CAMERA):
            return None
        return self.capture.in_ring_ns if self.capture.captured_ns is None else self.capture.captured_ns


def judge(part: Part, **context: Any) -> Verdict:
    """The verdict of a decided part, as of now. `context` has the fields of the verdict that describe the line.

    A score that would be published after the budget is unknown/late: the age is checked here, right before the send.
    """
    finding, now = part.finding, time.monotonic_ns()
    assert finding is not None
    inspection = part.inspection
    artifact, budget_ms = inspection.artifact, inspection.config.budget_ms
    age_ms = (now - part.captured_ns) / 1e6
    if finding.score is not None and age_ms > budget_ms:
        finding = Finding(reason=Reason.LATE, detail="the result came within the budget, publication did not")
    if finding.score is None or artifact is None:
        outcome, reason = Outcome.UNKNOWN, finding.reason or Reason.BACKEND
    elif artifact.threshold.rejects(finding.score):
        outcome, reason = Outcome.REJECT, Reason.DEFECT
    else:
        outcome, reason = Outcome.GOOD, Reason.CLEAR
    capture, inferred = part.capture, part.inferred
    timing = {
        "captured": part.captured_ns,
        "in_ring": capture.in_ring_ns if capture else None,
        "inference_start": inferred.start_ns if inferred else None,
        "inference_end": inferred.end_ns if inferred else None,
        "published": now,
    }
    return Verdict(
        **context,
        seq=part.seq,
        part=part.name,
        fields=part.fields or None,
        product=part.product,
        verdict=outcome,
        reason=reason,
        detail=finding.detail,
        score=finding.score,
        threshold=artifact.threshold.value if artifact else None,
        marginal=artifact is not None and _is_marginal(finding.score, artifact),
        defects=_defects(inferred) if outcome is Outcome.REJECT else None,
        **_kind(inferred, inspection.bundle.manifest.kinds if outcome is Outcome.REJECT else ()),
        age_ms=age_ms,
        budget_ms=budget_ms,
        bundle=inspection.bundle.label,
        backend=inspection.backend,
        truth=capture.truth if capture else None,
        timing=cast(Timing, timing),  # validated with the verdict, in one call
        time=_wall_time(),
    )


def _wall_time() -> str:
    """The time of day, UTC, ISO 8601 with milliseconds."""
    second, rest_ns = divmod(time.time_ns(), 1_000_000_000)
    return f"{_to_the_second(second)}.{rest_ns // 1_000_000:03}+00:00"


@lru_cache(maxsize=1)
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def _is_marginal(score: float | None, artifact: "Artifact") -> bool:
    """Whether the score is within the runtimes' tolerance of the threshold."""
    return score is not None and abs(score - artifact.threshold.value) <= artifact.margin


def _defects(inferred: Inferred | None) -> tuple[Defect, ...] | None:
    """The located defects in the form of the verdict; None if none were searched for."""
    if inferred is None or inferred.located is None:
        return None
    return tuple(_defect(located) for located in inferred.located)


def _kind(inferred: Inferred | None, kinds: Sequence[str]) -> dict[str, Any]:
    """The fields of the verdict about the kind of the defect, one of `kinds`; empty if there is none."""
    if inferred is None or inferred.kind is None or not inferred.kind.number <= len(kinds):
        return {}
    number, probability = inferred.kind
    return {"kind": kinds[number - 1], "kind_number": number, "kind_probability": probability}


def _defect(located: Located) -> Defect:
    box = Box(x=located.x, y=located.y, width=located.width, height=located.height)
    return Defect(box=box, area=located.area, peak=located.peak)
