"""Messages between the supervisor and its children: numbers and names, never pixels.

All times are `time.monotonic_ns()`, one clock for all processes of a machine.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from edge.bundle import Measured, Unmeasured
    from edge.letterbox.contract import RegionOfInterest
    from edge.presence import Remembered
    from edge.sources import ExposureSettings, Mark
    from edge.station.codes.contract import Answer
    from edge.station.drift.block import Summed
    from edge.verdict import Fault


class GiveSlot(NamedTuple):
    """Supervisor → capture: the child may fill this slot of the ring; `memory` is the name of `capacity` bytes.

    `refusal` says why the slot is not larger, after a NeedsRoom.
    """

    slot: int
    memory: str
    capacity: int
    refusal: str | None = None


class Opened(NamedTuple):
    """Capture → supervisor: the source is open. `policy` is "every" or "latest"; the other fields as in `Source`."""

    name: str
    shape: tuple[int, int] | None
    length: int | None
    live: bool
    free_running: bool
    simulated: bool
    policy: str
    device: bool = False
    remarks: tuple[str, ...] = ()  # one line per setting that the device changed from the requested value
    rate: float | None = None  # pictures per second, if known
    lasting_name: str | None = None  # persistent name that opens the same device again
    exposes_when_told: bool = False


class NeedsRoom(NamedTuple):
    """Capture → supervisor: the next frame has `size` bytes, more than the slot holds; the supervisor returns the
    slot enlarged, or with a refusal.
    """

    slot: int
    size: int


class Captured(NamedTuple):
    """Capture → supervisor: a frame lies in `slot`, or `fault` says why there is none.

    `slot` is None if no slot was free. `dropped` counts the frames lost before this one because no slot was free.
    Several `frames` of one part are stacked vertically, each `height` rows high. `mark` is the position from which a
    watched folder continues after this capture. `seen` is brightness and sharpness of a live frame, if it was measured.
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
    seen: tuple[float, float] | None = None


class Watched(NamedTuple):
    """Capture → supervisor: progress of the search for parts. `parts` are those decided by the frame at `position`;
    `remembered` is the finder's state after it. One message carries both, so that they are always consistent.

    `blind` says why no part can be found at present: frames arrive, but are unusable. `began_ns` is the start of a
    simulated line that runs by the clock.
    """

    parts: tuple[Captured, ...]
    remembered: "Remembered"
    position: int
    blind: "Fault | None" = None
    began_ns: int | None = None


class Expose(NamedTuple):
    """Supervisor → capture: expose a frame now. Only for a source that exposes on request."""


class Adjust(NamedTuple):
    """Supervisor → capture: expose so from now on. Only for a source with an exposure time that can be set. `number`
    comes back with the answer.
    """

    exposure: "ExposureSettings"
    number: int


class Adjusted(NamedTuple):
    """Capture → supervisor: the camera has exposed so since `at_ns`, or `refusal` says why it does not."""

    exposure: "ExposureSettings"
    number: int
    at_ns: int
    refusal: str | None = None


class Waiting(NamedTuple):
    """Capture → supervisor: the source works and has nothing to show, for example while it waits for a trigger."""


class Ended(NamedTuple):
    """Capture → supervisor: the source has no more pictures. `dropped` counts those lost since the last capture."""

    dropped: int


class Failed(NamedTuple):
    """Child → supervisor: the child cannot work, for a reason that a user can fix. The child exits.

    With `seat` the inference child cannot serve this station; it continues for the others.
    """

    message: str
    seat: int | None = None


class Configure(NamedTuple):
    """Supervisor → inference: every frame of station `seat` will have this (height, width); None: any size.

    With `regions` the model gets each region instead of the frame, and the worst score decides. The scores of several
    frames of one part are combined by `aggregate`.
    """

    shape: tuple[int, int] | None
    seat: int = 0
    regions: tuple["RegionOfInterest", ...] = ()
    aggregate: Literal["max", "mean"] = "max"


class Loaded(NamedTuple):
    """Inference → supervisor: the golden frames agree, and the runtime is warm for the frames of station `seat`.
    `golden_difference` is the largest difference of a score.

    `backend` is the name of the running artifact, `proof_ns` the duration of a self-test.
    """

    backend: str
    golden_difference: float
    proof_ns: int = 0
    seat: int = 0


class Infer(NamedTuple):
    """Supervisor → inference: score the frame of station `seat` in shared memory `memory`, or the `frames` of one
    part.
    """

    seq: int
    memory: str
    height: int
    width: int
    seat: int = 0
    frames: int = 1
    wants_map: bool = False  # of any part: somebody watches previews
    keeps_map: bool = False  # of a reject: the records keep it beside the picture
    is_part: bool = True  # if not, it is in no statistics


class SelfTest(NamedTuple):
    """Supervisor → inference: score the frame that was scored at the start, and check that the score is the same. The
    answer is an Inferred with `seq` 0.
    """


class Located(NamedTuple):
    """A defect on the frame according to the map: box and area in pixels, and the map's largest value."""

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float


class NamedKind(NamedTuple):
    """The kind of a defect: its number in the bundle's list, from 1, and its probability, 0 to 1."""

    number: int
    probability: float


class CoarseMap(NamedTuple):
    """The map on the frame, in few cells, as `edge.channel.preview.Heat` has it: position in pixels of the frame, and
    one byte a cell, row by row.
    """

    x: float
    y: float
    width: float
    height: float
    rows: int
    columns: int
    cells: bytes


class Inferred(NamedTuple):
    """Inference → supervisor: the score of frame `seq`, or the `fault` as text if the runtime failed on it.

    `located` lists the defects, largest peak first; None if none were searched for. Of several frames `worst` is the
    number, from 0, of the one with the highest score, in which the defects are located.

    `measured` is the distance from the training photographs of the station's picture that was compared last; None if
    none was compared since the last result, Unmeasured once if none will be compared any more. `summed` has the
    features of the station's last pictures, once in some pictures.

    `coarse` is the map of a reject that the records keep, or of any part for which it was wanted; None if the part has
    several frames or regions, or no map.

    `kind` is the kind of a reject's defect, by the frame and region with the highest score; None if the bundle tells no
    kinds apart, or if the score is no reject.
    """

    seq: int
    score: float
    fault: str | None
    start_ns: int
    end_ns: int
    located: tuple[Located, ...] | None = None
    seat: int = 0
    worst: int = 0
    measured: "Measured | Unmeasured | None" = None
    summed: "Summed | None" = None
    coarse: CoarseMap | None = None
    kind: NamedKind | None = None


class Stop(NamedTuple):
    """Supervisor → child: finish and exit."""


class ArchiveReady(NamedTuple):
    """Archive → supervisor: the archive accepts frames."""


class Keep(NamedTuple):
    """Supervisor → archive: store the frame in shared memory `memory` as the image of this verdict.

    `verdict` is its outcome, `day` the date of publication, `payload` the verdict as published. `frame` is the number
    of frames stacked above it. `heat` is the map as JSON. With `is_shown` a preview is made, too.
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
    heat: str | None = None
    is_shown: bool = False


class Depict(NamedTuple):
    """Supervisor → archive: make a preview of the frame in shared memory `memory`, and store nothing."""

    epoch: str
    seq: int
    slot: int
    memory: str
    height: int
    width: int
    frame: int = 0


class ReadPicture(NamedTuple):
    """Supervisor → archive: decode the picture in the file `path` into shared memory `memory` of `height` × `width`
    pixels.
    """

    path: str
    memory: str
    height: int
    width: int


class PictureRead(NamedTuple):
    """Archive → supervisor: the picture is in the memory, or `why` it is not."""

    why: str | None


MOST_PIECE_BYTES = 15_000
"""Of the JPEG in one Depicted."""


class Depicted(NamedTuple):
    """Archive → supervisor: a piece of the preview of a frame, a JPEG of `edge.channel.preview.LONGEST_SIDE` pixels at
    most; `is_last` with its last piece.

    In pieces that fit into one packet of `edge.station.process.message_socket`: of a longer message the supervisor
    would wait for the rest.
    """

    epoch: str
    seq: int
    jpeg: bytes
    is_last: bool


class Copied(NamedTuple):
    """Archive → supervisor: the slot was copied and is free."""

    slot: int


class Stored(NamedTuple):
    """Archive → supervisor: the image is on disk, at `path` below the records' folder, `size` bytes."""

    epoch: str
    seq: int
    path: str
    sha256: str
    size: int


class NotStored(NamedTuple):
    """Archive → supervisor: there will be no image of this verdict, with the reason as text."""

    epoch: str
    seq: int
    why: str


class Removed(NamedTuple):
    """Archive → supervisor: an image was removed to make room, or because of its age."""

    path: str
    why: str


class ReaderReady(NamedTuple):
    """Code reader → supervisor: the reader accepts frames."""


class LookForCode(NamedTuple):
    """Supervisor → code reader: look for a code in the `frames` of part `seq`, which are stacked vertically in shared
    memory `memory`, each `height` × `width` pixels.
    """

    seq: int
    memory: str
    height: int
    width: int
    frames: int = 1


class Looked(NamedTuple):
    """Code reader → supervisor: the frames of part `seq` are free. `text` is the text of the code exactly if `outcome`
    is "read"; `why` says in words why the reader failed.
    """

    seq: int
    outcome: "Answer"
    text: str | None = None
    why: str | None = None
