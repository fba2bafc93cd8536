"""What a source of frames is, and what a person may say of one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, TypeAlias

from annotated_types import Ge, Gt

from edge.frame import Frame

if TYPE_CHECKING:  # the supervisor imports this module and must stay light
    from edge.verdict import Fault


Rate: TypeAlias = float | Literal["file"]
"""Pictures a second, or those that a file says it was taken at."""


@dataclass(frozen=True)
class Shown:
    """A part that a simulated source shows somewhere on a frame: what it is called, its truth ("good" or "bad"), and
    where its centre is, in pixels to the right and down; beyond the frame's border if only a piece of it is seen.
    """

    name: str
    truth: str
    x: float
    y: float


class Mark(NamedTuple):
    """A picture of a watched folder: its position, when it arrived under its name, in nanoseconds, and its path."""

    position: int
    arrived_ns: int
    path: str


@dataclass(frozen=True)
class Capture:
    """What one read of a source gave: a frame, or the reason why there is none.

    `index` counts the source's pictures from 0, `name` is what a person would call this one (a file name, a frame
    number, a part's code). `frame` is None exactly when `fault` says why. `captured_ns` is
    `time.monotonic_ns()` at the moment of exposure as nearly as the source can tell, None for stored pictures.
    `truth` is what a simulated source knows of the part ("good" or "bad"), None everywhere else. `counter` is the
    camera's own count of its frames where it has one that never goes back. `shown` is what a simulated source that
    shows several parts at once knows of them: it labels verdicts and finds nothing. `mark` is where a watched folder
    goes on after it. The frame is the receiver's to keep.
    """

    index: int
    name: str
    frame: "Frame | None"
    captured_ns: int | None = None
    fault: "Fault | None" = None
    truth: str | None = None
    counter: int | None = None
    details: dict[str, str] = field(default_factory=dict)
    shown: tuple[Shown, ...] = ()
    mark: Mark | None = None


class Source(ABC):
    """An opened source of frames. A kind of source overrides the attributes that are otherwise for it."""

    name: str
    shape: tuple[int, int] | None = None
    """(height, width) if every frame has that size."""
    length: int | None = None
    """Pictures left to come when it was opened; None if nobody knows, as of a camera."""
    live: bool = False
    """Frames come when they come and are lost if nobody takes them. Stored pictures wait until they are read."""
    free_running: bool = False
    """Only the newest frame matters unless told otherwise: a camera without a trigger."""
    device: bool = False
    """A device may go and come back. What is stored and cannot be read will not be readable next time either."""
    simulated: bool = False
    rate: float | None = None
    """Pictures a second."""
    remarks: tuple[str, ...] = ()
    """A line for each setting that the device took otherwise than it was asked."""
    lasting_name: str | None = None
    """A name that opens this very device again."""
    began_ns: int | None = None
    """When a simulated belt began to run, `time.monotonic_ns()`."""
    exposes_when_told: bool = False
    """One frame comes for each call of `trigger`."""
    decodes: bool = False
    """The source decodes pictures, and decodes them into `room` if that has their shape."""
    room: "Frame | None" = None
    """Memory of a frame's shape for the next capture, set before it is asked for; a copy is saved."""

    @abstractmethod
    def captures(self) -> Iterator[Capture | None]:
        """The captures, in order, until the source ends. None: the source is well and waits, as for a trigger."""

    @abstractmethod
    def close(self) -> None:
        """Release the device or file. Safe to call twice."""

    def trigger(self) -> None:
        """Expose one frame, if `exposes_when_told`. May be called from any thread."""
        raise NotImplementedError(f"{self.name} cannot be told to expose")


_Place: TypeAlias = Annotated[int, Ge(0)]
_Length: TypeAlias = Annotated[int, Gt(0)]
_Region: TypeAlias = tuple[_Place, _Place, _Length, _Length]


@dataclass(frozen=True)
class CameraSettings:
    """How a camera is to be set; None leaves a setting as the camera has it. People are told what each `takes`.

    `exposure_us` in microseconds; `gain_db` in dB, or in the camera's own unit if it knows no dB. `pixel_format` is a
    name of the Pixel Format Naming Convention ("Mono8"), of a V4L2 camera its four characters ("MJPG", "YUYV"), which
    has no other of these settings. `region` is x, y, width and height on the sensor, in pixels. `packet_size` counts
    the bytes of a GigE Vision packet with its headers. `trigger` is "software", a line of the camera ("line1"), or
    "off" to let it run freely.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    exposure_us: Annotated[float, Gt(0)] | None = field(default=None, metadata={"takes": "microseconds, more than 0"})
    gain_db: float | None = field(default=None, metadata={"takes": "dB"})
    pixel_format: str | None = field(default=None, metadata={"takes": "a name, as Mono8; of a V4L2 camera as MJPG"})
    region: _Region | None = field(default=None, metadata={"takes": "x, y, width, height on the sensor, in pixels"})
    packet_size: _Length | None = field(default=None, metadata={"takes": "bytes, of GigE Vision"})
    trigger: str | None = field(default=None, metadata={"takes": "off, software or a line, as line1"})


@dataclass(frozen=True)
class BeltSettings:
    """How the simulated belt runs: `speed` in frame widths a second, `pitch` from part to part in frame widths, and by
    how much of it, at most, a part lies elsewhere than the pitch says.
    """

    speed: float = 0.75
    pitch: float = 1.2
    jitter: float = 0.1


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What a person may say of a source: here alone, for a station and whatever opens a source for it.

    `limit` is the number of pictures at the most, counted from index 0; `rate` pictures a second, None for the
    source's own pace (a stored source: as fast as they are taken), "file" for that of a video's container. `size` is
    (height, width) where a source can choose. `loop` starts a stored source again at its end. With `watch` a folder
    never ends: pictures that another program puts there are shown too. `seed` is for simulated sources, `camera` for
    cameras, `belt` for the moving belt. `bits` are the significant ones of a stored sample of 16: 10, 12, 14 or 16;
    None: the picture has to fill them.
    """

    limit: int | None = None
    rate: Rate | None = None
    size: tuple[int, int] | None = None
    loop: bool = False
    watch: bool = False
    seed: int = 0
    camera: CameraSettings = CameraSettings()
    belt: BeltSettings = BeltSettings()
    bits: int | None = None

    def request(
        self,
        name: str,
        start: int = 0,
        every: bool = False,
        began_ns: int | None = None,
        is_lost: bool = False,
        after: Mark | None = None,
    ) -> "SourceRequest":
        """A source of this name with these settings; see `SourceRequest`."""
        same = {one.name: getattr(self, one.name) for one in fields(SourceSettings)}
        return SourceRequest(name, start, every, began_ns, is_lost, after, **same)


@dataclass(frozen=True)
class SourceRequest(SourceSettings):
    """What a person asked for: the source's name and what was said of it.

    `start` is the index of the first picture wanted: a restarted capture child goes on where it stopped. With `every`
    a camera that runs freely passes over none of its frames, though they grow old. `began_ns` is what a source that is
    opened again said of itself: its line has run on since. `is_lost` says that a device was open before and is to be
    waited for, where it can be told cheaply that it is back. `after` is the mark of the last capture that a process
    before this one gave; indices from there to `start` were given up.
    """

    name: str
    start: int = 0
    every: bool = False
    began_ns: int | None = None
    is_lost: bool = False
    after: Mark | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of source, the `KIND` of its module in this package. Its functions import what is heavy when called."""

    claims: Callable[[str], bool]
    """Whether a name is that of such a source."""
    open: Callable[[SourceRequest], Source]
    """Open one. Raises SourceError, in one line."""
    available: Callable[[], list[tuple[str, str]]]
    """Those on this machine right now: (name to give to --source, description)."""
    has_settings: bool = False
    """It is a camera, which can be set and gives frames of the size that it is asked for."""
    is_exclusive: bool = False
    """Only one station can open it."""
    has_software_trigger: bool = False
    """With `trigger=software` it exposes when it is told."""
    can_be_watched: bool = False
    has_own_size: bool = False
    """Its pictures have the size that they have."""
    default_size: tuple[int, int] | None = None
    """(height, width) of its frames unless another is asked for."""
