"""The signals that a PLC writes and reads for one station, and the queued results."""

from dataclasses import dataclass, replace
from typing import Literal

from edge.channel.control_messages import Fate
from edge.plc.codes import Code, Error
from edge.verdict import Verdict

LARGEST_NUMBER = 2**32 - 1
"""Of a part; 0 stands for none."""


@dataclass(frozen=True)
class Written:
    """The signals that the PLC writes. Numbers are 1 to 2**32 - 1; 0 stands for none."""

    trigger: bool = False
    clear: bool = False
    trigger_number: int = 0
    acknowledged: int = 0
    select: bool = False
    product: int = 0
    """Number of the product that the line makes, 1 to 65535; 0 if it makes one. A trigger is for this product."""

    serial: str | None = ""
    """Printable text that the verdict of the part to inspect carries as its free field `serial`; empty for none, None
    for bytes that are no printable ASCII.
    """


@dataclass(frozen=True)
class Readable:
    """The signals that the PLC reads, all of one moment. With every field at its default the PLC rejects."""

    alive: int = 0
    ready: bool = False
    busy: bool = False
    trigger_ready: bool = False
    trigger_acknowledged: bool = False
    has_missed_trigger: bool = False
    has_overrun: bool = False
    error: Error = Error.NONE
    valid: bool = False
    code: Code = Code.NONE
    number: int = 0
    seq: int = 0
    part: str = ""
    age_ms: float = 0.0
    epoch: str = ""
    result_epoch: str = ""
    state: int = 0
    trigger_number: int = 0
    exposed_number: int = 0
    """Number of the last accepted part, if its frame has been exposed."""

    product: int = 0
    """Number of the station's current product; 0 if it has none."""

    product_name: str = ""
    bundle: str = ""
    """The bundle that judges parts now. This and the product's name are in no register: they are told over MQTT."""

    kind: int = 0
    """Number of the kind of the shown reject's defect, as in the bundle's list from 1; 0 if it has none."""

    is_selected: bool = False
    is_not_selected: bool = False
    queued: int = 0
    overruns: int = 0
    missed_triggers: int = 0
    pass_until_ns: int = 0
    """Local time at which the pass bit falls if nothing else is heard."""

    @property
    def passes(self) -> bool:
        """The pass bit."""
        return self.valid and self.code is Code.CLEAR

    @property
    def fails(self) -> bool:
        """The fail bit."""
        return self.valid and self.code is not Code.CLEAR

    def at(self, now_ns: int) -> "Readable":
        """The image at a later moment: the pass bit falls at `pass_until_ns` without a further message."""
        return replace(self, code=Code.EXPIRED) if self.passes and now_ns >= self.pass_until_ns else self


@dataclass(eq=False)
class Result:
    """A part's result in the queue. `seq` is None if its number is not known, `verdict` if none has come."""

    number: int
    part: str
    epoch: str | None
    seq: int | None
    code: Code
    until_ns: int = 0
    verdict: Verdict | None = None
    has_passed: bool = False  # the pass bit was 1
    is_shown: bool = False

    @property
    def fate(self) -> Fate:
        """What became of it when it is acknowledged: it passed only if the pass bit was 1 then."""
        if self.has_passed and self.code is Code.CLEAR:
            return Fate.PASSED
        is_late = self.has_passed or self.code in (Code.EXPIRED, Code.TRANSIT)
        return Fate.LATE_REJECT if is_late else Fate.REJECTED


@dataclass(eq=False)
class Awaited:
    """A triggered part without a verdict."""

    number: int
    at_ns: int
    seq: int | None = None


Event = Literal["pass", "fail", "withdrawn", "acknowledged", "overrun"]


@dataclass(frozen=True)
class Entry:
    """What happened to a result, for the log: `pass` and `fail` when it is shown, before the PLC can read it."""

    event: Event
    epoch: str | None
    seq: int | None
    part: str
    number: int
    code: Code
    verdict: Verdict | None = None
