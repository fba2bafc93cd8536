"""A candidate: a bundle that judges the frames of parts beside the bundle that decides. It decides nothing."""

import time
from collections import deque
from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple

from edge.bundle import Artifact, Bundle
from edge.errors import BundleError
from edge.station.capture.process import CaptureProcess
from edge.station.config.resolved import StationConfig
from edge.station.inference.process import Model
from edge.station.inference.seat import Scoring
from edge.station.parts import Part
from edge.station.process.child import Child
from edge.station.process.messages import Captured, Inferred
from edge.verdict import Outcome, Verdict

NICENESS = 19
"""Of the candidate's process: it gets the time that all others leave."""

PATIENCE_S = 30.0
"""A frame that takes longer hangs. The process may wait for all others, so this is long."""

TIMED = 1_000
"""Inferences whose durations are kept, for the percentiles."""


class Shadowed(NamedTuple):
    """A part that the deciding bundle and the candidate have judged. `outcome` is the candidate's: unknown with a
    `fault`, if its runtime failed on the frame. `payload` is the published verdict, `worst` the number of the frame.
    """

    verdict: Verdict
    payload: bytes
    capture: Captured
    worst: int
    outcome: Outcome
    score: float | None
    fault: str | None

    @property
    def is_flip(self) -> bool:
        """Whether one says good and the other says reject."""
        return self.outcome is not Outcome.UNKNOWN and self.outcome is not self.verdict.verdict


class Candidate:
    """Judges one part at a time. A part that comes meanwhile is skipped, so that the frames of the ring stay free."""

    def __init__(
        self, config: StationConfig, bundle: Bundle, product: str | None, intake: CaptureProcess,
        shape: tuple[int, int] | None,
    ) -> None:  # fmt: skip
        """Start to load the bundle for frames of `shape` (height, width) in a process of its own. `config` is that of
        the product, with the candidate's folder.
        """
        self.bundle, self.product = bundle, product
        self.judged = self.skipped = self.to_reject = self.to_good = self.faults = 0
        self.scoring = Scoring(config, Model(config, bundle.digest, NICENESS))
        self.scoring.is_current = False
        self.scoring.configure(shape)
        self._intake = intake
        self._pending: tuple[Verdict, bytes, Captured] | None = None
        self._took_ms: deque[float] = deque(maxlen=TIMED)

    @property
    def artifact(self) -> Artifact | None:
        """The artifact that gives the scores; None before the model is loaded."""
        loaded = self.scoring.loaded
        return self.bundle.manifest.artifacts[loaded.backend] if loaded else None

    @property
    def flips(self) -> int:
        """Number of parts that one bundle calls good and the other rejects."""
        return self.to_reject + self.to_good

    def took_ms(self, quantile: float) -> float | None:
        """A quantile of the durations of its last inferences (ms); None before the first."""
        took = sorted(self._took_ms)
        return took[min(len(took) - 1, int(quantile * len(took)))] if took else None

    def offer(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """Judge a part that was published as `payload`, if there is time for it. Called while its slot is held."""
        capture, scoring = part.capture, self.scoring
        if verdict.score is None or capture is None or capture.slot is None or scoring.loaded is None:
            return
        if self._pending is not None or not scoring.is_idle:
            self.skipped += 1
            return
        self._intake.hold(capture.slot)
        self._pending = verdict, payload, capture
        deadline_ns = time.monotonic_ns() + int(PATIENCE_S * 1e9)
        memory = self._intake.memory(capture.slot)
        size = capture.height, capture.width
        scoring.submit(part.seq, memory, *size, deadline_ns, capture.frames, is_part=False)  # in no statistics

    def receive(self) -> Iterator[Shadowed]:
        """The parts that it has judged since the last call. The slot of each is held until the next step.

        Raises BundleError if the bundle cannot be loaded, or if its process was lost afterwards.
        """
        for results in (self.scoring.receive, self.scoring.supervise):
            for result in results():
                yield from self._settle(result)
            if self.scoring.loaded is not None and not self.scoring.is_up:  # before it is started again
                raise BundleError(f"{self.bundle.label}: {self.scoring.cause}")

    def _settle(self, result: Inferred) -> Iterator[Shadowed]:
        pending, artifact = self._pending, self.artifact
        if pending is None or artifact is None:
            return
        verdict, payload, capture = pending
        fault = result.fault
        if fault is None and not isfinite(result.score):
            fault = f"the model's score is {result.score}"
        if fault is not None:
            outcome, score = Outcome.UNKNOWN, None
            self.faults += 1
        else:
            outcome = Outcome.REJECT if artifact.threshold.rejects(result.score) else Outcome.GOOD
            score = result.score
            self._took_ms.append((result.end_ns - result.start_ns) / 1e6)
        shadowed = Shadowed(verdict, payload, capture, result.worst, outcome, score, fault)
        self.judged += fault is None
        self.to_reject += shadowed.is_flip and outcome is Outcome.REJECT
        self.to_good += shadowed.is_flip and outcome is Outcome.GOOD
        try:
            yield shadowed
        finally:
            self._release()

    def _release(self) -> None:
        if self._pending is not None:
            self._intake.release(self._pending[2].slot)
            self._pending = None

    def close(self) -> Child:
        """Give it up; never waits. Returns its killed process, which is yet to be reaped."""
        self.scoring.leave()
        self.scoring.child.kill()
        self._release()
        return self.scoring.child
