"""What the gate decides of a part, and why."""

from dataclasses import dataclass
from enum import StrEnum

from edge.channel.control_messages import Fate


class Why(StrEnum):
    """Why a part is passed (`clear`) or not (all others)."""

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


@dataclass(frozen=True)
class Decision:
    """The one decision about a part, taken at `at_ns` of the local monotonic clock.

    `seq` is None if the part was announced and no verdict came, `part` is None if only its number is known. `to_seq`
    is there where many numbers are missing at once: the decision is about all of them, the last included.
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
