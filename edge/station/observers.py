"""Observers of judged parts: called with each part after its verdict was sent. They do not influence verdicts."""

from typing import Protocol

from edge.station.parts import Part
from edge.verdict import Verdict


class Observer(Protocol):
    """An entry of `Station.observers`. Its method must neither wait nor raise."""

    def judged(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """Called with each part after its verdict was published as `payload`.

        The slot of `part.capture` has the part's frames until this call returns. An observer that needs the frames
        longer calls `CaptureProcess.hold`, and `release` afterwards.
        """
        ...
