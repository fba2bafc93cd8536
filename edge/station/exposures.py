"""Parts for which the station triggers the exposure: assignment of frames to parts."""

from collections import deque
from typing import TYPE_CHECKING

from edge.station.parts import Finding, Part
from edge.verdict import Reason

if TYPE_CHECKING:
    from edge.station.capture.process import CaptureProcess
    from edge.station.process.messages import Captured

MOST_MISSED = 3
"""After this many consecutive parts without a frame in time, the camera is reopened. If the camera missed one trigger,
every later frame would be assigned to the previous part. Reopening the camera is the only way to resynchronise.
"""


class Exposures:
    """Assigns captures to parts. The camera gives one capture per counted exposure, in order: a frame, or a fault.

    The next capture therefore belongs to the oldest part without one, even if that part is already decided: a late
    frame is never assigned to the next part. Only one exposure is pending at a time, because a busy camera may miss a
    trigger.
    """

    def __init__(self, intake: "CaptureProcess") -> None:
        """No exposure was requested yet."""
        self._intake = intake
        self._pending: deque[Part] = deque()
        self._missed = 0
        self._run = 0  # restarts of the capture process; after a restart no captures are pending

    def expose(self, part: Part) -> Finding | None:
        """Trigger the exposure for this part. Returns the part's finding if there will be no frame."""
        if self._intake.child.restarts != self._run:
            self._pending.clear()
            self._run, self._missed = self._intake.child.restarts, 0
        if self._intake.is_resuming:
            return Finding(reason=Reason.CAMERA, detail=self._intake.cause)
        if self._pending and self._pending[-1].finding is None:
            return Finding(reason=Reason.OVERLOAD, detail="the frame of the part before is still on its way")
        self._missed = self._missed + 1 if self._pending else 0
        if self._missed >= MOST_MISSED:
            self._intake.give_up(f"no frame in time for {MOST_MISSED} triggers in a row")
        if self._intake.expose():
            self._pending.append(part)
        return None

    def pair(self, capture: "Captured") -> Part | None:
        """The part for which this frame was exposed; None if it was exposed before any request."""
        if not self._pending or (
            capture.captured_ns is not None and capture.captured_ns < self._pending[0].captured_ns
        ):
            return None
        return self._pending.popleft()
