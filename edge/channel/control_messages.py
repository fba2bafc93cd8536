"""The messages between controllers and a station on the control socket: JSON, one frame per message.

A request gets at most one answer, a replay one message per verdict and one for its end, a trigger a second one if it
asks to be told of the exposure. An invalid request is counted,
and answered with its error, up to a number of answers per second. A controller imports this module, which needs only
the standard library and pydantic.
"""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from edge.channel.limits import LARGEST_REQUEST
from edge.errors import ChannelError
from edge.text import printable
from edge.validation import first_problem, problem
from edge.verdict import Fields, Heartbeat, Moment, Verdict, check_printable

MOST_REPLAYED = 10_000
"""Largest number of verdicts in one replay."""

LONGEST_QUOTE = 80
"""Characters of an invalid request that its answer quotes."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Epoch = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
Seq = Annotated[int, Field(ge=1, le=2**53)]


PartId = Annotated[
    str, Field(min_length=1, max_length=200, description="printable characters only"), AfterValidator(check_printable)
]


LONGEST_NAME, LONGEST_REASON = 64, 200
"""Characters of a person's name, and of a reason."""

Person = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(check_printable)]
Why = Annotated[str, Field(min_length=1, max_length=LONGEST_REASON), AfterValidator(check_printable)]


Label = Annotated[str, Field(max_length=300), AfterValidator(check_printable)]
FileName = Annotated[
    str, Field(pattern=r"^[^/\x00.][^/\x00]{0,199}$", description="a name in a folder"), AfterValidator(check_printable)
]


class Fate(StrEnum):
    """What became of a part at the gate. `late_reject`: its verdict came too late for the gate; `missed`: none came."""

    PASSED = "passed"
    REJECTED = "rejected"
    LATE_REJECT = "late_reject"
    MISSED = "missed"


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Hello(_Said):
    """Who is there. Where the channel is encrypted the name of the key counts, not this one."""

    type: Literal["hello"] = "hello"
    client: Name
    most_budget_ms: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
        description="the longest budget whose verdicts reach this client in time: its travel less lead and transit",
    )
    run: str | None = Field(
        default=None,
        max_length=64,
        description="random id of this run of the client, by which two clients of one name are noticed",
    )


class Ping(_Said):
    """Sign of life, and the question what time it is at the station."""

    type: Literal["ping"] = "ping"
    nonce: int = Field(ge=0, le=2**53)


class AskSnapshot(_Said):
    """The question how the station stands."""

    type: Literal["snapshot"] = "snapshot"


class AskReplay(_Said):
    """The verdicts `from_seq` to `to_seq` again, for the record: a replayed verdict moves no gate."""

    type: Literal["replay"] = "replay"
    epoch: Epoch
    from_seq: Seq
    to_seq: Seq


class Acknowledge(_Said):
    """What became of a part."""

    type: Literal["ack"] = "ack"
    epoch: Epoch
    seq: Seq
    fate: Fate


class Trigger(_Said):
    """A part is in front of the camera now: its clock starts when this arrives, its verdict has this id."""

    type: Literal["trigger"] = "trigger"
    part: PartId
    fields: Fields | None = Field(default=None, description="free fields of the part, which its verdict carries")
    product: Name | None = Field(
        default=None, description="the part's product; if it is not the current one, the part is unknown"
    )
    product_number: int | None = Field(default=None, ge=1, le=65_535, description="the same by its number")
    exposed: bool = Field(default=False, description="answer a second time when the part's frame has been exposed")


class Suspend(_Said):
    """A person suspends the station: until a resume, also over a restart if there are records, parts are unknown."""

    type: Literal["suspend"] = "suspend"
    by: Person
    reason: Why
    station: Name | None = Field(default=None, description="the station that is meant; another one refuses")
    epoch: Epoch | None = Field(default=None, description="the run that is meant; another one refuses")


class Resume(_Said):
    """A person ends the suspension; the station judges again if nothing else holds it."""

    type: Literal["resume"] = "resume"
    by: Person
    reason: Why
    station: Name | None = Field(default=None, description="the station that is meant; another one refuses")
    epoch: Epoch | None = Field(default=None, description="the run that is meant; another one refuses")


class SelectProduct(_Said):
    """A changeover: parts that are triggered or exposed from now on are judged as this product, in the same epoch. Give
    its name or its number.
    """

    type: Literal["select_product"] = "select_product"
    product: Name | None = None
    number: int | None = Field(default=None, ge=0, le=65_535)
    by: Person = Field(description="who asks: a person, or a program")
    reason: Why | None = None
    station: Name | None = Field(default=None, description="the station that is meant; another one refuses")
    epoch: Epoch | None = Field(default=None, description="the run that is meant; another one refuses")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.product is None) == (self.number is None):
            raise ValueError("give a product or a number")
        return self


class RolloutRequest(_Said):
    """What all requests about candidates have."""

    by: Person = Field(description="who asks: a person, or a program")
    reason: Why | None = None
    product: Name | None = Field(default=None, description="whose bundle is meant; null: the current product's")
    station: Name | None = Field(default=None, description="the station that is meant; another one refuses")
    epoch: Epoch | None = Field(default=None, description="the run that is meant; another one refuses")


class LoadBundle(RolloutRequest):
    """Load the bundle of this name from the station's folder of candidates. If it is sound, it judges the frames of
    all parts beside the running bundle from then on, and decides nothing.
    """

    type: Literal["load_bundle"] = "load_bundle"
    bundle: FileName


class AskCandidate(_Said):
    """The question how the candidate stands."""

    type: Literal["candidate"] = "candidate"
    product: Name | None = Field(default=None, description="null: the candidate's, else the current one")


class Promote(RolloutRequest):
    """Let the candidate decide from now on. `flips` is the number of its flips that a person has looked at."""

    type: Literal["promote"] = "promote"
    label: Label | None = Field(default=None, description="label of the candidate that is meant; another one refuses")
    flips: int = Field(ge=0, le=2**53)


class RollBack(RolloutRequest):
    """Let the bundle decide again that decided before the last promotion."""

    type: Literal["roll_back"] = "roll_back"
    label: Label | None = Field(default=None, description="label of the bundle that decides now; another one refuses")


class Unload(RolloutRequest):
    """Give up the candidate."""

    type: Literal["unload"] = "unload"
    label: Label | None = Field(default=None, description="label of the candidate that is meant; another one refuses")


class ChallengePart(_Said):
    """A marked bad part comes down the line: the next part, or the one with this id. If it is not rejected at the gate,
    the station is suspended.
    """

    type: Literal["challenge"] = "challenge"
    by: Person = Field(description="who asks: a person, or a program")
    reason: Why | None = None
    part: PartId | None = Field(default=None, description="its id; null: the next part that gets a verdict")
    within_s: float = Field(default=60.0, gt=0, le=3600, description="until its acknowledgement")
    station: Name | None = Field(default=None, description="the station that is meant; another one refuses")
    epoch: Epoch | None = Field(default=None, description="the run that is meant; another one refuses")


class AskChallenge(_Said):
    """The question how the challenge stands."""

    type: Literal["ask_challenge"] = "ask_challenge"


Operation = Suspend | Resume | SelectProduct | LoadBundle | Promote | RollBack | Unload | ChallengePart
"""Requests by which a person or a program changes what the station does."""

Request = (
    Hello | Ping | AskSnapshot | AskReplay | Acknowledge | Trigger | Suspend | Resume | SelectProduct | LoadBundle
    | AskCandidate | Promote | RollBack | Unload | ChallengePart | AskChallenge
)  # fmt: skip


class Welcome(_Said):
    """The answer to a hello. `client` is the name that counts."""

    type: Literal["welcome"] = "welcome"
    station: str
    epoch: str
    boot: int
    client: str
    is_required: bool = Field(description="the station is suspended while this client is silent")
    budget_ms: float


class Pong(_Said):
    """The answer to a ping: `now` is the station's monotonic clock in nanoseconds when it answered."""

    type: Literal["pong"] = "pong"
    nonce: int
    epoch: str
    now: Moment


class ProductState(_Said):
    """A product of the station: its number for a PLC, its bundle, and whether parts can be judged as it."""

    name: str
    number: int | None
    bundle: str
    is_up: bool


class Snapshot(_Said):
    """The answer to the question how the station stands."""

    type: Literal["snapshot"] = "snapshot"
    heartbeat: Heartbeat
    products: tuple[ProductState, ...] = Field(default=(), description="all products, if the line makes several")


class Replayed(_Said):
    """One verdict of a replay."""

    type: Literal["replayed"] = "replayed"
    verdict: Verdict


class ReplayEnd(_Said):
    """The end of a replay: how many came; those that the station does not have did not."""

    type: Literal["replay_end"] = "replay_end"
    epoch: str
    from_seq: int
    to_seq: int
    count: int


class Triggered(_Said):
    """The answer to a trigger: the part is accepted, its verdict will have this number."""

    type: Literal["triggered"] = "triggered"
    part: str
    epoch: str
    seq: int


class Exposed(_Said):
    """The second answer to a trigger that asks for it: the part's frame has been exposed, so that the part may move.

    It does not come if no frame of the part came; its verdict then says so.
    """

    type: Literal["exposed"] = "exposed"
    part: str
    epoch: str
    seq: int
    captured: Moment = Field(description="exposure, as nearly as the source can tell, on the station's monotonic clock")


class Suspension(_Said):
    """The answer to a suspend or a resume: whether a person suspends the station now."""

    type: Literal["suspension"] = "suspension"
    is_suspended: bool


class ProductSelected(_Said):
    """The answer to a changeover: parts that are triggered or exposed from now on are judged as `product`."""

    type: Literal["product_selected"] = "product_selected"
    product: str
    number: int | None
    before: str = Field(description="the product until now")
    sent: Moment | None = Field(
        default=None,
        description="when it became so, on the station's monotonic clock; heartbeats from before do not know",
    )


class Stage(StrEnum):
    """Where a candidate stands. `loading`: it is read, checked and compiled. `judging`: it judges in the shadow.
    `promoting`: a process that may decide is being started for it. `returning`: the same for the bundle of the
    configuration. `refused`: it was given up.
    """

    NONE = "none"
    LOADING = "loading"
    JUDGING = "judging"
    PROMOTING = "promoting"
    RETURNING = "returning"
    REFUSED = "refused"


class CandidateState(_Said):
    """The answer to all requests about candidates: how the candidate stands, and which bundle runs.

    A flip is a part that the running bundle calls good and the candidate rejects (`to_reject`), or the other way round
    (`to_good`).
    """

    type: Literal["candidate_state"] = "candidate_state"
    stage: Stage
    bundle: str | None = Field(default=None, description="the candidate's label; null without one")
    product: str | None = Field(default=None, description="the product whose parts it judges, if there are several")
    why: str | None = Field(default=None, description="why it was refused, for people")
    judged: int = Field(default=0, description="parts that both have judged")
    skipped: int = Field(default=0, description="parts for which it had no time")
    to_reject: int = 0
    to_good: int = 0
    faults: int = Field(default=0, description="parts on which its runtime failed")
    p50_ms: float | None = Field(default=None, description="of its last inferences, at the lowest priority")
    p99_ms: float | None = None
    needs: int = Field(description="parts that it has to judge before it can be promoted")
    most_flips: int = Field(description="most flips of a candidate that can be promoted")
    running: str = Field(description="label of the bundle that decides")
    previous: str | None = Field(default=None, description="label of the bundle that a rollback brings back")
    is_promoted: bool = Field(default=False, description="whether it is another one than that of the configuration")
    rolled_back: str | None = Field(default=None, description="why the station rolled back by itself, for people")


class ChallengeStage(StrEnum):
    """Where a challenge with a bad part stands. `waiting`: for its verdict. `judged`: it is a reject, and waits for its
    acknowledgement. `inconclusive`: its verdict is unknown, so that nothing was shown.
    """

    NONE = "none"
    WAITING = "waiting"
    JUDGED = "judged"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class ChallengeState(_Said):
    """The answer to a challenge, and to the question how it stands."""

    type: Literal["challenge_state"] = "challenge_state"
    stage: ChallengeStage
    part: str | None = Field(default=None, description="id of the bad part, as far as known")
    why: str | None = Field(default=None, description="why it passed or failed, for people")
    stored: str | None = Field(default=None, description="the last result of the stored picture, for people")


class Refused(_Said):
    """The answer to a request that cannot be met, or to what is none, with the reason for people."""

    type: Literal["refused"] = "refused"
    request: str = Field(description="its type; empty if it says none that is known")
    why: str


TYPES = tuple(kind.model_fields["type"].default for kind in get_args(Request))
"""Types of requests."""

Reply = (
    Welcome | Pong | Snapshot | Replayed | ReplayEnd | Triggered | Exposed | Suspension | ProductSelected
    | CandidateState | ChallengeState | Refused
)  # fmt: skip

REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="type")])
REPLIES: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="type")])


def check_name(name: str) -> None:
    """Raise ChannelError with a one-line message if the name is not valid for a controller."""
    try:
        Hello(client=name)
    except ValueError as error:
        raise ChannelError(
            f"controller name {name!r}: use up to 64 letters, digits, dots, dashes and underscores"
        ) from error


def check_station_name(station: str) -> None:
    """Raise ChannelError unless the name is valid in a topic and in a path."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", station) or not station.strip("."):
        raise ChannelError(f"station name {station!r}: use letters, digits, dot, dash and underscore, not dots alone")


def parse_request(payload: bytes) -> Request:
    """Decode a controller's request. Raises ValueError if it is too long or invalid."""
    if len(payload) > LARGEST_REQUEST:
        raise ValueError(f"{len(payload)} bytes, more than {LARGEST_REQUEST}")
    return REQUESTS.validate_json(payload)


def parse_reply(payload: bytes) -> Reply:
    """Decode a station's answer. Raises ValueError if it is invalid."""
    return REPLIES.validate_json(payload)


def error_reply(error: ValueError) -> Refused:
    """The answer to a request that `parse_request` rejected: the invalid key, its value, and the error."""
    if not isinstance(error, ValidationError):
        return Refused(request="", why=f"no request: {error}")
    first = first_problem(error)
    said, sent = problem(first), first["input"]
    if first["type"].startswith("union_tag"):
        kind = _quoted(sent["type"]) if "type" in sent else "no type"
        return Refused(request="", why=f"no request: {kind}; its type is one of {', '.join(TYPES)}")
    if not first["loc"]:
        return Refused(request="", why=f"no request: {said}")
    request, *keys = map(str, first["loc"])
    if first["type"] == "missing":
        return Refused(request=request, why=f"{'.'.join(keys)} is missing")
    return Refused(request=request, why=f"{'.'.join(keys)} = {_quoted(sent)}: {said}")


def _quoted(sent: object) -> str:
    """A received value, shortened and without unprintable characters, for a log line."""
    text = printable(repr(sent))
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"
