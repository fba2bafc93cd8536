"""A part between the camera and the gate."""

from dataclasses import dataclass

from edge.channel.control_messages import Fate
from edge.gate.decision import Why
from edge.verdict import Outcome, Reason, Verdict


@dataclass(eq=False)
class Part:
    """A part on its way to the gate. It is at the gate when the belt is at place `arrives`; None if that is unknown."""

    id: str | None
    arrives: int | None
    announced_ns: int | None = None
    seq: int | None = None
    verdict: Verdict | None = None
    refusal: Why | None = None
    is_decided: bool = False

    @property
    def is_good(self) -> bool:
        """Whether its verdict is a good that nothing speaks against so far."""
        if self.verdict is None or self.refusal is not None or self.is_decided:
            return False
        return self.verdict.verdict is Outcome.GOOD and self.verdict.reason is Reason.CLEAR

    def fate(self, why: Why) -> Fate:
        """What the station is told if the part is decided for this reason."""
        if why is Why.CLEAR:
            return Fate.PASSED
        if self.verdict is None:
            return Fate.MISSED
        return Fate.LATE_REJECT if self.refusal is Why.LATE else Fate.REJECTED
