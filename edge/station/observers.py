"""Observers of judged parts: they see each part after its verdict was sent, and decide nothing."""

from typing import Protocol

from edge.station.parts import Part
from edge.verdict import Verdict


class Observer(Protocol):
    """One of `Station.observers`. It neither waits nor raises."""

    def judged(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """A part whose verdict was published as `payload`.

        The slot of `part.capture` holds the part's frames until this returns. An observer that needs them longer calls
        `CaptureProcess.hold`, and `release` when it is done.
        """
        ...
