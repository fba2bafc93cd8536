"""The interface of a source of frames, and the settings that a user gives for it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from annotated_types import Ge, Gt

from edge.demo.line_names import LineName
from edge.frame import Frame
from edge.sources.size import region_numbers

if TYPE_CHECKING:  # the supervisor imports this module and must stay light
    from edge.verdict import Fault


Rate: TypeAlias = float | Literal["file"]
"""Pictures per second, or "file" for the rate that a file reports."""


@dataclass(frozen=True)
class Shown:
    """A part that a simulated source shows on a frame: its name, its truth ("good" or "bad"), and its centre in pixels
    to the right and down. The centre lies outside the frame if only a piece of the part is visible.
    """

    name: str
    truth: str
    x: float
    y: float


class Mark(NamedTuple):
    """A picture of a watched folder: its position, its arrival time under its name (ns), and its path."""

    position: int
    arrived_ns: int
    path: str


@dataclass(frozen=True)
class Capture:
    """The result of one read of a source: a frame, or the fault that explains why there is none.

    `index` counts the source's pictures from 0. `name` is a readable name of the picture (a file name, a frame number,
    a part's code). `frame` is None exactly when `fault` is set. `captured_ns` is `time.monotonic_ns()` at the exposure,
    as exactly as the source can determine; None for stored pictures. `truth` is the part's truth ("good" or "bad") in a
    simulated source, None elsewhere. `counter` is the camera's own frame counter, if it has one that never decreases.
    `shown` lists the parts on the frame of a simulated source that shows several at once; it labels verdicts and is
    not used for detection. `mark` is the position from which a watched folder continues after this picture. The
    receiver owns the frame.
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
    """An opened source of frames. A kind of source overrides the attributes that differ for it."""

    name: str
    shape: tuple[int, int] | None = None
    """(height, width) if every frame has that size."""
    length: int | None = None
    """Number of pictures left when the source was opened; None if unknown, as for a camera."""
    live: bool = False
    """Frames arrive at their own pace and are lost if nobody reads them. Stored pictures wait until they are read."""
    free_running: bool = False
    """A camera without a trigger: only the newest frame matters, unless `every` is requested."""
    device: bool = False
    """A device may disconnect and return. A stored picture that cannot be read stays unreadable."""
    simulated: bool = False
    rate: float | None = None
    """Pictures per second."""
    remarks: tuple[str, ...] = ()
    """One line per setting that the device changed from the requested value."""
    lasting_name: str | None = None
    """A persistent name that opens this same device again."""
    began_ns: int | None = None
    """`time.monotonic_ns()` when a simulated belt started."""
    exposes_when_told: bool = False
    """The source exposes one frame for each call of `trigger`."""
    decodes: bool = False
    """The source decodes pictures, and decodes into `room` if the shapes match."""
    room: "Frame | None" = None
    """Memory of a frame's shape for the next capture, set before that capture is requested; it saves a copy."""

    @abstractmethod
    def captures(self) -> Iterator[Capture | None]:
        """The captures, in order, until the source ends. None: the source works and waits, as for a trigger."""

    @abstractmethod
    def close(self) -> None:
        """Release the device or file. Safe to call twice."""

    def trigger(self) -> None:
        """Expose one frame; only if `exposes_when_told`. May be called from any thread."""
        raise NotImplementedError(f"{self.name} cannot be told to expose")

    def adjust(self, exposure: "ExposureSettings") -> tuple[str, ...]:
        """Change exposure and gain while it runs; only of a kind with `has_exposure`. Frames that are exposed from its
        return on are exposed so. Returns a line per value that the camera changed. May be called from any thread.
        Raises SourceError if the camera refuses a value.
        """
        raise NotImplementedError(f"{self.name} has no exposure time that can be set")


class _RegionText:
    """Annotation of a region that pydantic may also be given as text. Sources are imported without pydantic."""

    def __get_pydantic_core_schema__(self, kind: Any, schema_of: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(region_numbers, schema_of(kind))


_Offset: TypeAlias = Annotated[int, Ge(0)]
_Length: TypeAlias = Annotated[int, Gt(0)]
_Region: TypeAlias = Annotated[tuple[_Offset, _Offset, _Length, _Length], _RegionText()]


@dataclass(frozen=True)
class CameraSettings:
    """Camera settings; None keeps the camera's own value. The metadata `takes` is the text of error messages.

    `exposure_us` is in microseconds. `gain_db` is in dB, or in the camera's own unit if it has no dB. `pixel_format` is
    a name of the Pixel Format Naming Convention ("Mono8"), or the four characters of a V4L2 format ("MJPG", "YUYV"),
    the only setting that V4L2 cameras have. `region` is x, y, width and height in sensor pixels. `packet_size` is the
    size of a GigE Vision packet in bytes, including headers. `trigger` is "software", a line of the camera ("line1"),
    or "off" for a free-running camera.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    exposure_us: Annotated[float, Gt(0)] | None = field(default=None, metadata={"takes": "microseconds, more than 0"})
    gain_db: float | None = field(default=None, metadata={"takes": "dB"})
    pixel_format: str | None = field(default=None, metadata={"takes": "a name, as Mono8 or, of a V4L2 camera, MJPG"})
    region: _Region | None = field(default=None, metadata={"takes": "LEFT,TOP,WIDTHxHEIGHT on the sensor, in pixels"})
    packet_size: _Length | None = field(default=None, metadata={"takes": "bytes, of GigE Vision"})
    trigger: str | None = field(default=None, metadata={"takes": "off, software or a line, as line1"})


@dataclass(frozen=True)
class ExposureSettings:
    """The settings of a camera that may change from one frame to the next; None keeps the camera's own value.
    `exposure_us` is in microseconds, `gain_db` as in `CameraSettings`.
    """

    exposure_us: float | None = None
    gain_db: float | None = None


@dataclass(frozen=True)
class BeltSettings:
    """Settings of the simulated belt: `speed` in frame widths per second, `pitch` between parts in frame widths, and
    `jitter`, the largest deviation of a part from its place as a fraction of the pitch.
    """

    speed: float = 0.75
    pitch: float = 1.2
    jitter: float = 0.1


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What a user may set for a source. Defined once, for the station and for everything else that opens a source.

    `limit` is the largest number of pictures, counted from index 0. `rate` is in pictures per second; None is the
    source's own pace (a stored source: as fast as pictures are read), "file" the rate in a video's container. `size` is
    (height, width), where a source can choose it. `loop` restarts a stored source at its end. With `watch` a folder
    never ends: pictures that another program adds are shown too. `seed` is for simulated sources, `line` for the source
    demo, `camera` for cameras, `belt` for the moving belt. `bits` is the number of significant bits of a stored 16-bit
    sample: 10, 12, 14 or 16; None accepts only pictures that use the full range.
    """

    limit: int | None = None
    rate: Rate | None = None
    size: tuple[int, int] | None = None
    loop: bool = False
    watch: bool = False
    seed: int = 0
    line: LineName = "plates"
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
        """A request for the source `name` with these settings; see `SourceRequest`."""
        same = {one.name: getattr(self, one.name) for one in fields(SourceSettings)}
        return SourceRequest(name, start, every, began_ns, is_lost, after, **same)


@dataclass(frozen=True)
class SourceRequest(SourceSettings):
    """A request to open a source: its name, its settings, and where to resume.

    `start` is the index of the first picture: a restarted capture process resumes where it stopped. With `every` a
    free-running camera skips no frames, even if they grow old. `began_ns` is the value that the source reported when it
    was opened before; a simulated line has run on since. `is_lost` says that the device was open before; the source
    waits for its return if it can check that cheaply. `after` is the mark of the last capture of the previous process;
    the pictures between it and `start` are given up.
    """

    name: str
    start: int = 0
    every: bool = False
    began_ns: int | None = None
    is_lost: bool = False
    after: Mark | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of source, the `KIND` of its module in this package. Its functions import heavy modules when called."""

    claims: Callable[[str], bool]
    """Whether a name belongs to this kind of source."""
    open: Callable[[SourceRequest], Source]
    """Open a source. Raises SourceError with a one-line message."""
    written: tuple[str, ...]
    """How a name of this kind is written, an example or a pattern each: `camera0`, `genicam:SERIAL`."""
    about: str
    """What a source of this kind is, in a few words."""
    available: Callable[[], list[tuple[str, str]]] = list
    """The devices present on this machine now: (name to give to --source, description). No other sources are searched.
    """
    missing: Callable[[bool], str | None] = lambda has_any: None
    """What this machine lacks for this kind of source, and the remedy, in one line; None if it lacks nothing. The
    argument says whether `available` found any.
    """
    has_settings: bool = False
    """Whether it is a camera with settings, which delivers frames of the requested size."""
    is_exclusive: bool = False
    """Whether only one station can open it at a time."""
    has_exposure: bool = False
    """Whether exposure time and gain can be changed while it runs."""
    has_software_trigger: bool = False
    """Whether it exposes on request with `trigger=software`."""
    can_be_watched: bool = False
    has_own_size: bool = False
    """Whether its pictures have a size of their own, which cannot be set."""
    has_lines: bool = False
    """Whether it can show another rendered line than the plates."""
    default_size: tuple[int, int] | None = None
    """(height, width) of its frames unless another size is requested; of a rendered line, that of the plates."""
