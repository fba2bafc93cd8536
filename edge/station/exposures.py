"""Parts for which the station told the camera to expose: which frame is whose."""

from collections import deque
from typing import TYPE_CHECKING

from edge.station.parts import Finding, Part
from edge.verdict import Reason

if TYPE_CHECKING:
    from edge.station.capture.process import Intake
    from edge.station.process.messages import Captured

MOST_MISSED = 3
"""A camera that gave no frame in time for so many parts in a row is opened again. If it overlooked one trigger, each
frame that it gives is taken for that of the part before; only that ends it.
"""


class Exposures:
    """The camera gives one capture for each exposure that it counted, a frame or why there is none, in order.

    So the next one is of the oldest part that it was told of, even if that has its finding already: a frame that comes
    too late is never taken for that of the next part. One exposure at a time: a busy camera may overlook a trigger.
    """

    def __init__(self, intake: "Intake") -> None:
        """Nobody was told anything."""
        self._intake = intake
        self._told: deque[Part] = deque()
        self._missed = 0
        self._run = 0  # of the capture process; another one owes nothing

    def tell(self, part: Part) -> Finding | None:
        """Tell the camera to expose for this part. Returns the part's finding if there will be no frame."""
        if self._intake.child.restarts != self._run:
            self._told.clear()
            self._run, self._missed = self._intake.child.restarts, 0
        if self._intake.is_resuming:
            return Finding(reason=Reason.CAMERA, detail=self._intake.cause)
        if self._told and self._told[-1].finding is None:
            return Finding(reason=Reason.OVERLOAD, detail="the frame of the part before is still on its way")
        self._missed = self._missed + 1 if self._told else 0
        if self._missed >= MOST_MISSED:
            self._intake.give_up(f"no frame in time for {MOST_MISSED} triggers in a row")
        if self._intake.expose():
            self._told.append(part)
        return None

    def pair(self, capture: "Captured") -> Part | None:
        """The part that this frame was exposed for; None if it was exposed before anybody asked."""
        if not self._told or (capture.captured_ns is not None and capture.captured_ns < self._told[0].captured_ns):
            return None
        return self._told.popleft()
