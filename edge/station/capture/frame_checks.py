"""Frame checks: whether a live frame is a fresh, intact picture of the line. They run before inference.

They read a few rows of each frame. A part whose frame fails is `unknown` with the reason, and never has a score.
"""

import time
from typing import TYPE_CHECKING

from edge.pictures.blank import Sampled, blank_fault_of, sample, sampled_rows
from edge.station.capture.envelope import Envelope
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.sources import Capture

FROZEN_MS = 800
"""Identical pixels for this long are a frozen picture. A sensor has noise; a video codec may repeat a still scene."""

FROZEN_FRAMES = 3


class FrameChecks:
    """The checks of one live source; keeps the state of its last frames."""

    def __init__(self, stale_ms: float, envelope: Envelope | None = None) -> None:
        """A frame older than `stale_ms` when it arrives has waited in a buffer. Without an envelope, brightness and
        sharpness are not checked.
        """
        import cv2  # noqa: F401  imported before the first frame arrives

        self.seen: Sampled | None = None  # of the last frame
        self._envelope, self._stale_ms = envelope, stale_ms
        self._counter: int | None = None
        self._rows: npt.NDArray[np.uint8] | None = None
        self._same_since_ns = self._same = 0

    def look(self, capture: "Capture") -> tuple[Fault | None, Sampled | None]:
        """The fault of `check`, and what it has measured of this frame."""
        self.seen = None
        fault = self.check(capture)
        return fault, self.seen

    def check(self, capture: "Capture") -> Fault | None:
        """Why this live frame must not be judged; None if every check passes."""
        assert capture.frame is not None
        now = time.monotonic_ns()
        if capture.captured_ns is not None and now - capture.captured_ns > self._stale_ms * 1e6:
            return Fault(Reason.STALE, f"the frame is {(now - capture.captured_ns) / 1e6:.0f} ms old when it comes")
        last, self._counter = self._counter, capture.counter
        if last is not None and capture.counter is not None and capture.counter <= last:
            return Fault(Reason.REPEATED, f"the camera counts {capture.counter} after {last}")
        rows = sampled_rows(capture.frame)
        seen = self.seen = sample(rows)
        unusual = self._envelope.fault(seen.brightness, seen.sharpness) if self._envelope else None
        return self._frozen(rows, now) or blank_fault_of(seen) or unusual

    def _frozen(self, rows: "npt.NDArray[np.uint8]", now: int) -> Fault | None:
        import numpy as np

        if self._rows is None or not np.array_equal(rows, self._rows):
            self._rows, self._same_since_ns, self._same = rows, now, 0
            return None
        self._same += 1
        lasts_ms = (now - self._same_since_ns) / 1e6
        if self._same < FROZEN_FRAMES or lasts_ms < FROZEN_MS:
            return None
        return Fault(Reason.FROZEN, f"the same pixels for {lasts_ms:.0f} ms")
