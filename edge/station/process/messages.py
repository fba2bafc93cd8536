"""What passes between the supervisor and its children: numbers and names, never pixels.

All times are `time.monotonic_ns()`, one clock for all processes of a machine.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from edge.letterbox.contract import RegionOfInterest
    from edge.presence import Remembered
    from edge.sources import Mark
    from edge.verdict import Fault


class GiveSlot(NamedTuple):
    """Supervisor → capture: this slot of the ring is yours to fill; `memory` names `capacity` bytes.

    `refusal` says why it is no larger, though it was asked to be.
    """

    slot: int
    memory: str
    capacity: int
    refusal: str | None = None


class Opened(NamedTuple):
    """Capture → supervisor: the source is open. `policy` is "every" or "latest"; the rest as in `Source`."""

    name: str
    shape: tuple[int, int] | None
    length: int | None
    live: bool
    free_running: bool
    simulated: bool
    policy: str
    device: bool = False
    remarks: tuple[str, ...] = ()  # what the device took otherwise than it was asked, a line each
    rate: float | None = None  # pictures a second, if that is known
    lasting_name: str | None = None  # the name by which this very device is opened again
    exposes_when_told: bool = False


class NeedsRoom(NamedTuple):
    """Capture → supervisor: the next frame has `size` bytes, more than the slot holds; give it back larger, or
    say why not.
    """

    slot: int
    size: int


class Captured(NamedTuple):
    """Capture → supervisor: a frame lies in `slot`, or `fault` says why there is none.

    `slot` is None if no slot was free. `dropped` counts the frames lost
    before this one because no slot was free. Several `frames` of one part lie one below the other, each of `height`
    rows. `mark` is where a watched folder goes on after this capture.
    """

    slot: int | None
    position: int
    name: str
    height: int
    width: int
    captured_ns: int | None
    in_ring_ns: int
    fault: "Fault | None"
    truth: str | None
    dropped: int
    frames: int = 1
    mark: "Mark | None" = None


class Watched(NamedTuple):
    """Capture → supervisor: a camera is watched for parts. `parts` are those that frame `position` decided, and
    `remembered` what a finder that takes over must know then: one message, so that neither is known without the other.

    `blind` says why no part can be found for a while: the camera gives frames, and they show nothing. `began_ns` is
    when a line that runs by the clock began.
    """

    parts: tuple[Captured, ...]
    remembered: "Remembered"
    position: int
    blind: "Fault | None" = None
    began_ns: int | None = None


class Expose(NamedTuple):
    """Supervisor → capture: expose a frame now. Only to a source that exposes when it is told."""


class Waiting(NamedTuple):
    """Capture → supervisor: the source is well and has nothing to show, as while it waits for a trigger."""


class Ended(NamedTuple):
    """Capture → supervisor: the source has no more pictures. `dropped` counts those lost since the last capture."""

    dropped: int


class Failed(NamedTuple):
    """Child → supervisor: it cannot do its work, for a reason a person can put right. The child exits.

    With `seat` the inference child cannot do it for this station; it goes on for the others.
    """

    message: str
    seat: int | None = None


class Configure(NamedTuple):
    """Supervisor → inference: every frame of station `seat` will have this (height, width); None: any size.

    With `regions` the model is shown each of them instead of the frame, and the worst score decides. The scores of
    several frames of one part become one as `aggregate` says.
    """

    shape: tuple[int, int] | None
    seat: int = 0
    regions: tuple["RegionOfInterest", ...] = ()
    aggregate: Literal["max", "mean"] = "max"


class Loaded(NamedTuple):
    """Inference → supervisor: golden frames agree, the runtime is warm for the frames of station `seat`.
    `golden_difference` is the largest seen.

    `backend` is the name of the artifact that runs, `proof_ns` the time that a self-test takes.
    """

    backend: str
    golden_difference: float
    proof_ns: int = 0
    seat: int = 0


class Infer(NamedTuple):
    """Supervisor → inference: run the frame of station `seat` that lies in shared memory `memory`, or so many `frames`
    of one part.
    """

    seq: int
    memory: str
    height: int
    width: int
    seat: int = 0
    frames: int = 1


class SelfTest(NamedTuple):
    """Supervisor → inference: judge the frame that was judged at the start, and say whether it scores the same. The
    answer is an Inferred of `seq` 0.
    """


class Located(NamedTuple):
    """A place of the frame where the map says a defect is: box and area in pixels, and the map's largest value."""

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float


class Inferred(NamedTuple):
    """Inference → supervisor: the score of frame `seq`, or `fault` in words if the runtime failed on it.

    `located` says where the defects are, the largest peak first; None if nothing was looked for. Of several frames
    `worst` is the one with the highest score, from 0, in which they are located.
    """

    seq: int
    score: float
    fault: str | None
    start_ns: int
    end_ns: int
    located: tuple[Located, ...] | None = None
    seat: int = 0
    worst: int = 0


class Stop(NamedTuple):
    """Supervisor → child: leave."""


class ArchiveReady(NamedTuple):
    """Archive → supervisor: frames can be handed over."""


class Keep(NamedTuple):
    """Supervisor → archive: store the frame in shared memory `memory` as the image of this verdict.

    `verdict` is its outcome, `day` the date of publication, `payload` the verdict as published. `frame` counts the
    frames that lie above it.
    """

    epoch: str
    seq: int
    verdict: str
    day: str
    payload: bytes
    slot: int
    memory: str
    height: int
    width: int
    frame: int = 0


class Copied(NamedTuple):
    """Archive → supervisor: the slot is not needed any more."""

    slot: int


class Stored(NamedTuple):
    """Archive → supervisor: the image is on disk, at `path` below the records' folder, `size` bytes."""

    epoch: str
    seq: int
    path: str
    sha256: str
    size: int


class NotStored(NamedTuple):
    """Archive → supervisor: there will be no image of this verdict, for a reason in words."""

    epoch: str
    seq: int
    why: str


class Removed(NamedTuple):
    """Archive → supervisor: an image is removed to make room, or for its age."""

    path: str
    why: str
