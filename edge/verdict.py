"""What a station says: verdict, heartbeat and state, as JSON on the wire, and the rules that hold for them.

A controller imports this module: it needs the standard library and pydantic only.
"""

from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PROTOCOL = "evp1"
"""Version of the wire format; the first part of every topic."""

MOST_DEFECTS = 16
"""Places that a verdict names."""

Moment = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""Nanoseconds of the monotonic clock of the station's machine."""

Count = Annotated[int, Field(ge=0, le=2**53)]
"""No larger than what every language's JSON can hold."""


MOST_FIELDS, LONGEST_FIELD = 8, 64
"""Free fields of a part, and characters of each."""


def check_printable(text: str) -> str:
    """Validate text that is shown on terminals. Raises ValueError if a character is not printable."""
    if not text.isprintable():
        raise ValueError("printable characters only")
    return text


FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
FieldText = Annotated[str, Field(max_length=LONGEST_FIELD), AfterValidator(check_printable)]
Fields = Annotated[dict[FieldName, FieldText], Field(max_length=MOST_FIELDS)]
"""Free fields of a part by name, such as lot and order: printable text."""

MOST_KINDS, LONGEST_KIND = 32, 40
"""Kinds of defects that a model tells apart, and characters of a kind's name."""


def check_kind(name: str) -> str:
    """Validate the name of a kind of defect: words, printable. Raises ValueError."""
    if name != " ".join(name.split()):
        raise ValueError("words, with one space between them")
    return check_printable(name)


KindName = Annotated[str, Field(min_length=1, max_length=LONGEST_KIND), AfterValidator(check_kind)]
"""Name of a kind of defect, such as crack or oil stain."""

KIND_FIELDS = {"kind", "kind_number", "kind_probability"}
"""The fields of a verdict about the kind of the defect: all of them or none."""


class Outcome(StrEnum):
    """What the gate is told. `unknown` moves the gate as `reject` does and is counted apart."""

    GOOD = "good"
    REJECT = "reject"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a verdict is what it is. `clear` belongs to good, `defect` to reject, all others to unknown."""

    CLEAR = "clear"
    DEFECT = "defect"
    LATE = "late"
    BACKEND = "backend"
    CAMERA = "camera"
    CORRUPT = "corrupt"
    FROZEN = "frozen"
    REPEATED = "repeated"
    STALE = "stale"
    BLACK = "black"
    SATURATED = "saturated"
    BRIGHTNESS = "brightness"
    SHARPNESS = "sharpness"
    OVERLOAD = "overload"
    PRODUCT = "product"
    SUSPENDED = "suspended"
    STOPPED = "stopped"


class Fault(NamedTuple):
    """Why a frame must not be judged: the verdict of its part is `unknown` for this `reason`."""

    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


UNKNOWN_REASONS = frozenset(Reason) - {Reason.CLEAR, Reason.DEFECT}
_REASONS_OF = {
    Outcome.GOOD: {Reason.CLEAR},
    Outcome.REJECT: {Reason.DEFECT},
    Outcome.UNKNOWN: UNKNOWN_REASONS,
}


class State(StrEnum):
    """State of a station, in the words of OPC 40100-1 and PackML."""

    PREOPERATIONAL = "preoperational"
    READY = "ready"
    EXECUTING = "executing"
    HELD = "held"
    SUSPENDED = "suspended"
    ERROR = "error"
    STOPPED = "stopped"


class Message(BaseModel):
    """What every message carries."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    protocol: Literal["evp1"] = "evp1"
    station: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="name of the station")
    epoch: str = Field(description="random id of this run of the station")
    boot: int = Field(
        default=0, ge=0, description="counts the runs of the station, kept beside its records; 0: unknown"
    )
    simulated: bool = Field(description="true if the source or the bundle is the built-in demonstration")


class Timing(BaseModel):
    """Moments of one part, in nanoseconds of the monotonic clock of the station's machine; null if not reached."""

    model_config = ConfigDict(frozen=True)

    captured: Moment = Field(description="exposure, as nearly as the source can tell; the budget counts from here")
    in_ring: Moment | None = Field(default=None, description="the frame lies in shared memory")
    inference_start: Moment | None = None
    inference_end: Moment | None = None
    published: Moment = Field(description="handed to the socket")


class Box(BaseModel):
    """Whole pixels of the frame: columns `x` to before `x + width`, rows `y` to before `y + height`."""

    model_config = ConfigDict(frozen=True)

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class Defect(BaseModel):
    """A place of the part where the model's map is at or above the bundle's map threshold."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    box: Box
    area: int = Field(ge=1, description="pixels of the frame")
    peak: float = Field(description="the map's largest value there")


class Verdict(Message):
    """The one final verdict of (epoch, seq).

    Constructing one that breaks a rule raises pydantic's ValidationError: a good needs a finite score below the
    threshold and an age within the budget, a reject a score at or above the threshold, an unknown has no score at all.
    """

    seq: int = Field(ge=1, le=2**53, description="counts the verdicts of an epoch from 1 without a gap")
    part: str = Field(description="the part's id: a file name, a frame number, a printed code")
    fields: Fields | None = Field(
        default=None,
        exclude_if=lambda fields: not fields,
        description="free fields of the part: from its trigger, or from a code in its frame",
    )
    product: str | None = Field(
        default=None,
        exclude_if=lambda product: product is None,
        description="what the part was judged as, if the line makes several products",
    )
    view: str | None = Field(
        default=None,
        exclude_if=lambda view: view is None,
        description="of a group of stations: the one that decided, whose score, threshold and bundle these are",
    )
    verdict: Outcome
    reason: Reason
    detail: str | None = Field(default=None, description="the reason in words, for people")
    score: float | None = Field(default=None, description="higher is worse; null exactly for unknown")
    threshold: float | None = Field(default=None, description="score >= threshold is a reject")
    marginal: bool = Field(
        default=False,
        description="the score is as near the threshold as runtimes differ: another one might have said otherwise",
    )
    defects: tuple[Defect, ...] | None = Field(
        default=None,
        max_length=MOST_DEFECTS,
        description="where a reject's defects are, the largest peak first; empty if no place of the map stands out, "
        "null if nothing was looked for: not a reject, or a bundle without a map threshold",
    )
    kind: KindName | None = Field(
        default=None,
        exclude_if=lambda kind: kind is None,
        description="the kind of a reject's defect, as the model names it; it decides nothing. Absent if the part is "
        "no reject, or if the bundle tells no kinds apart",
    )
    kind_number: int | None = Field(
        default=None,
        ge=1,
        le=MOST_KINDS,
        exclude_if=lambda number: number is None,
        description="its place in the bundle's list of kinds, from 1: its number for a PLC",
    )
    kind_probability: float | None = Field(
        default=None,
        ge=0,
        le=1,
        exclude_if=lambda probability: probability is None,
        description="the model's probability of the kind, given that the part has a defect of one of its kinds",
    )
    age_ms: float = Field(ge=0, description="from capture to publication")
    budget_ms: float = Field(gt=0, description="the longest allowed age_ms of a good or a reject")
    source: str
    bundle: str = Field(description="name of the bundle and the first 12 digits of its manifest's SHA-256")
    backend: str | None = Field(default=None, description="the artifact of the bundle that gave the score")
    truth: Literal["good", "bad"] | None = Field(default=None, description="known by simulated sources only")
    timing: Timing
    time: str = Field(description="wall clock at publication, UTC, ISO 8601: a label, never used for decisions")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.reason not in _REASONS_OF[self.verdict]:
            raise ValueError(f"{self.reason} is no reason for {self.verdict}")
        of_kind = [one is not None for one in (self.kind, self.kind_number, self.kind_probability)]
        if any(of_kind) and not (all(of_kind) and self.verdict is Outcome.REJECT):
            raise ValueError("a kind has a name, a number and a probability, and belongs to a reject")
        if self.verdict is Outcome.UNKNOWN:
            if self.score is not None:
                raise ValueError("unknown carries no score")
            return self
        if self.score is None or self.threshold is None:
            raise ValueError(f"{self.verdict} needs a score and a threshold")
        if (self.score >= self.threshold) != (self.verdict is Outcome.REJECT):
            raise ValueError(f"score {self.score} and threshold {self.threshold} do not make a {self.verdict}")
        if abs((self.timing.published - self.timing.captured) / 1e6 - self.age_ms) > 1e-3:
            raise ValueError(f"age {self.age_ms} ms is not the time from capture to publication")
        if self.age_ms > self.budget_ms:
            raise ValueError(f"{self.verdict} after {self.age_ms} ms, budget {self.budget_ms} ms")
        return self


class Ledger(BaseModel):
    """accepted = good + reject + unknown + in_flight, at every moment; in_flight is 0 at the end of an epoch."""

    accepted: Count = 0
    good: Count = 0
    reject: Count = 0
    unknown: Count = 0
    in_flight: Count = 0
    dropped: Count = Field(default=0, description="frames of a free-running camera never accepted; not parts")

    @model_validator(mode="after")
    def _balances(self) -> Self:
        if self.accepted != self.good + self.reject + self.unknown + self.in_flight:
            raise ValueError("the ledger does not balance")
        return self


class Drift(BaseModel):
    """How far the line of the last hour has moved from its reference; see `edge.station.drift`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    learned: float = Field(ge=0, le=1, description="share of the reference that is known; 1: it is complete")
    feature: str | None = Field(default=None, description="what has moved most; null while nothing is compared")
    level: float | None = Field(default=None, description="its shift in units of its limit; an alarm beyond -1..1")
    since: str | None = Field(default=None, description="when the shift began, for people; null without one")


class Heartbeat(Message):
    """Sent every 100 ms. `ready` is a lease: without another heartbeat before `valid_until` it is over.

    `sent` and `valid_until` are nanoseconds of the monotonic clock of the station's machine, as in `Timing`. A
    controller on another machine learns from the pong of the control socket what time it is there.
    """

    sent: Moment
    state: State
    ready: bool = Field(description="parts that come now are judged, and all that judges them made progress just now")
    valid_ms: float
    valid_until: Moment
    cause: str | None = Field(default=None, description="what holds the station, for people")
    alarms: tuple[str, ...] = Field(default=(), description="what is wrong and holds nothing up, for people")
    last_seq: Count = Field(description="the last verdict that was published")
    durable_seq: Count | None = Field(
        default=None, description="verdicts up to here are on disk; null: no journal is kept"
    )
    product: str | None = Field(
        default=None,
        exclude_if=lambda product: product is None,
        description="the product that parts are judged as now, if the line makes several",
    )
    product_number: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        exclude_if=lambda number: number is None,
        description="its number for a PLC",
    )
    bundle: str | None = Field(
        default=None,
        exclude_if=lambda bundle: bundle is None,
        description="the bundle that judges parts now, as in their verdicts; a group of stations has none",
    )
    drift: Drift | None = Field(default=None, description="the watch on drift; null if there is none")
    camera_age_ms: float | None = Field(
        default=None, description="since the camera's process gave its last sign of life"
    )
    loop_age_ms: float | None = Field(
        default=None, description="since the model's process gave its last result, of a part or of a golden frame"
    )
    ledger: Ledger
    restarts: int = Field(description="how many times a child process was started again")


class StateChange(Message):
    """Sent when the state changes; `stopped` is the last message of an epoch. `sent` is as in `Heartbeat`."""

    sent: Moment
    state: State
    cause: str | None = None
    last_seq: Count


def topic(station: str, kind: Literal["verdict", "heartbeat", "state"]) -> bytes:
    """ZeroMQ topic of a kind of message. The trailing slash matters: ZeroMQ matches prefixes."""
    return f"{PROTOCOL}/{station}/{kind}/".encode()


MESSAGE_OF_KIND: dict[str, type[Verdict] | type[Heartbeat] | type[StateChange]] = {
    "verdict": Verdict,
    "heartbeat": Heartbeat,
    "state": StateChange,
}


def parse(topic: bytes, payload: bytes) -> Verdict | Heartbeat | StateChange:
    """Decode one message. Raises ValueError if the topic is not of this protocol or the JSON breaks a rule."""
    parts = topic.decode(errors="replace").split("/")
    if len(parts) != 4 or parts[0] != PROTOCOL or parts[2] not in MESSAGE_OF_KIND:
        raise ValueError(f"not a topic of {PROTOCOL}: {topic!r}")
    message = MESSAGE_OF_KIND[parts[2]].model_validate_json(payload)
    if message.station != parts[1]:
        raise ValueError(f"a message of {message.station!r} under the topic of {parts[1]!r}")
    return message
