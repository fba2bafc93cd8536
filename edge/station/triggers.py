"""Parts announced by a trigger that wait for their frames: assignment of frames to parts."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.station.exposures import Exposures
from edge.station.parts import Finding, Part
from edge.verdict import Reason

if TYPE_CHECKING:
    from edge.station.capture.process import CaptureProcess
    from edge.station.process.messages import Captured

MOST_TRIGGERED = 8
"""Limit of parts that wait for their frames; with a further trigger the oldest is unknown/overload at once."""


class Triggers:
    """A part's frame is the first one exposed between its trigger and the next. Stored pictures, which have no exposure
    time, are assigned in order; for a camera that exposes on request, see `Exposures`.
    """

    def __init__(self, intake: "CaptureProcess") -> None:
        """No part was triggered yet."""
        self._intake = intake
        self._exposures = Exposures(intake)
        self._waiting: deque[Part] = deque()  # still without a frame

    def add(self, part: Part) -> None:
        """Add a part that was triggered now. Parts that can get no frame any more are decided."""
        if self._intake.exposes_when_told:
            part.finding = part.finding or self._exposures.expose(part)
            return
        self._waiting.append(part)
        self._drop_decided(None)
        if len(self._waiting) > MOST_TRIGGERED:
            detail = f"{MOST_TRIGGERED} later triggers wait for their frames"
            self._waiting.popleft().finding = Finding(reason=Reason.OVERLOAD, detail=detail)

    def match(self, pending: "deque[Captured]", passes_over: bool) -> "Iterator[tuple[Part | None, Captured]]":
        """Take frames off `pending`, oldest first, each with its part; None: the frame belongs to no part. A frame for
        which no part waits stays, unless `passes_over`.
        """
        while pending:
            if self._intake.exposes_when_told:
                part = self._exposures.pair(pending[0])
                yield None if part is None or part.finding is not None else part, pending.popleft()
                continue
            exposed_ns = pending[0].captured_ns
            self._drop_decided(exposed_ns)
            if not self._waiting and not passes_over:
                return
            is_early = self._waiting and exposed_ns is not None and exposed_ns < self._waiting[0].captured_ns
            yield None if is_early or not self._waiting else self._waiting.popleft(), pending.popleft()

    def give_up(self, cause: str | None) -> None:
        """Decide the waiting parts when the camera is lost: after its return it shows later parts."""
        for part in self._waiting:
            part.finding = part.finding or Finding(reason=Reason.CAMERA, detail=cause)
        self._waiting.clear()

    def _drop_decided(self, exposed_ns: int | None) -> None:
        """Drop decided parts. Also give up any part whose successor was triggered before this frame was exposed,
        because the frame may show the successor.
        """
        while self._waiting:
            part, following = self._waiting[0], self._waiting[1] if len(self._waiting) > 1 else None
            if part.finding is None:
                if exposed_ns is None or following is None or following.captured_ns > exposed_ns:
                    return
                detail = "the next part was triggered before a frame of this one was exposed"
                part.finding = Finding(reason=Reason.OVERLOAD, detail=detail)
            self._waiting.popleft()
