"""The gate's decision on a part, and its reasons."""

from dataclasses import dataclass
from enum import StrEnum

from edge.channel.control_messages import Fate


class Why(StrEnum):
    """The reason why a part is passed (`clear`) or rejected (all others)."""

    CLEAR = "clear"
    DEFECT = "defect"
    UNKNOWN = "unknown"
    LATE = "late"
    GAP = "gap"
    HEARTBEAT_LOST = "heartbeat lost"
    EPOCH_CHANGED = "epoch changed"
    STATION_STOPPED = "station stopped"
    SIMULATED = "simulated"
    DUPLICATE_STATION = "duplicate station"
    NOT_JOINED = "not joined"
    NO_CLOCK = "no clock"
    NO_BELT = "no belt"
    GATE_LATE = "gate late"
    NOT_ANNOUNCED = "not announced"
    ANNOUNCED_TWICE = "announced twice"
    OVERFLOW = "overflow"
    ACTUATOR_FAILED = "actuator failed"
    NO_OUTPUT = "no output"
    TOO_CLOSE = "too close"

    @property
    def meaning(self) -> str:
        """The reason in one sentence for people, with a remedy where there is one."""
        return MEANINGS[self]


MEANINGS = {
    Why.CLEAR: "an in-time good names the part",
    Why.DEFECT: "the station's verdict was reject",
    Why.UNKNOWN: "the station could not judge the part; its verdict has the reason",
    Why.LATE: "no verdict came in time: within the budget and --transit-ms, and before the gate had to decide",
    Why.GAP: "the verdict was lost on its way to the gate",
    Why.HEARTBEAT_LOST: (
        "the station's heartbeats had stopped, or said that it does not run, when the part came to the gate; without "
        "them no part passes"
    ),
    Why.EPOCH_CHANGED: "the station was started again while the part was on its way to the gate",
    Why.STATION_STOPPED: (
        "the station's run ended while the part was on its way to the gate; after the end of a run no part passes, "
        "good or not; stop the feed first, and the station when the last part is past the gate"
    ),
    Why.SIMULATED: "the source or the bundle is the demonstration; --allow-simulated lets such parts pass in a trial",
    Why.DUPLICATE_STATION: "two stations seem to have this name; stop one of them and start the gate again",
    Why.NOT_JOINED: "the verdict came before the gate had joined this run of the station",
    Why.NO_CLOCK: "the gate did not know the time at the station, as when its pings are not answered; see --control",
    Why.NO_BELT: "the place of the belt was not known: its encoder was silent",
    Why.GATE_LATE: "the part was at the gate before the gate decided, as on a machine that is busy; or the gate's "
    "machine was suspended while the part was on its way",
    Why.NOT_ANNOUNCED: "the verdict names no part that was announced",
    Why.ANNOUNCED_TWICE: "the part was announced again before its verdict came",
    Why.OVERFLOW: "more parts were on their way to the gate than it can follow",
    Why.ACTUATOR_FAILED: "an actuator had failed; no part passes until the gate is started again",
    Why.NO_OUTPUT: (
        "the output that lets parts pass did not follow, as when it does not answer; parts pass again when it does"
    ),
    Why.TOO_CLOSE: (
        "the part could not pass alone: another one, rejected or not known to be good, was less than pulse_ms from it"
    ),
}
"""The meaning of each reason, as in docs/guide/gate.md."""


@dataclass(frozen=True)
class Decision:
    """The decision on a part, taken at `at_ns` of the local monotonic clock.

    `seq` is None if the part was announced and no verdict came. `part` is None if only the part's number is known. If
    many numbers are missing at once, one decision covers the numbers `seq` to `to_seq`, both included. `due_ns` is the
    local moment at which the part is the belt's lead before the gate: about `at_ns`, or later if the part is rejected
    before it comes; None if that is not known.
    """

    epoch: str | None
    seq: int | None
    part: str | None
    passes: bool
    why: Why
    fate: Fate
    at_ns: int
    detail: str | None = None
    to_seq: int | None = None
    due_ns: int | None = None
