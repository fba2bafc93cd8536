"""Where frames come from: one file a kind of source, one interface, and `open_source`, which picks.

A source is named by a word or a URL: `demo`, `belt`, `camera0`, `/dev/v4l/by-id/…`, `genicam:SERIAL`, `rtsp://…`,
`line.mp4`, `photos/`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from annotated_types import Ge, Gt

if TYPE_CHECKING:  # the supervisor imports this module and must stay light
    import numpy as np
    import numpy.typing as npt

Frame: TypeAlias = "npt.NDArray[np.uint8]"
"""One picture, `uint8 [height, width, 3]`, BGR, C-contiguous."""

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
    number, a part's code). `frame` is None exactly when `fault` says why ("corrupt: …"). `captured_ns` is
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
    fault: str | None = None
    truth: str | None = None
    counter: int | None = None
    details: dict[str, str] = field(default_factory=dict)
    shown: tuple[Shown, ...] = ()
    mark: Mark | None = None


class Source(Protocol):
    """An opened source of frames.

    `shape` is (height, width) if every frame has that size, else None. `length` is the number of pictures left to
    come when it was opened, None if nobody knows (a camera). `live` says that frames come when they come and are
    lost if nobody takes them; pictures of a source that is not live wait until they are read. `free_running` says that
    only the newest frame matters unless told otherwise (a camera without a trigger). `device` says that there is a
    thing behind it that may go and come back; what is stored and cannot be read will not be readable next time either.

    Some sources have more to say: `rate`, pictures a second; `remarks`, a line each on what the device took otherwise
    than it was asked; `lasting_name`, which opens this very device again; `began_ns`, when its line began to run;
    `exposes_when_told`, that a frame comes for each call of its method `trigger`, from whatever thread. One that
    decodes pictures has `room`: set before a capture is asked for, it is memory of the frame's shape into which it
    decodes that one if it can, and a copy is saved.
    """

    name: str
    shape: tuple[int, int] | None
    length: int | None
    live: bool
    free_running: bool
    device: bool
    simulated: bool

    def captures(self) -> Iterator[Capture | None]:
        """The captures, in order, until the source ends. None: the source is well and waits, as for a trigger."""
        ...

    def close(self) -> None:
        """Release the device or file. Safe to call twice."""
        ...


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


_KINDS = ("demo", "belt", "replay", "clock", "camera", "genicam", "stream", "folder", "video")
"""Modules of this package, in the order in which they are asked whether a name is theirs.

Each has `claims(name) -> bool`, `open(request) -> Source` and `available() -> list[tuple[str, str]]` (name,
description), and imports what is heavy inside its functions. `HAS_SETTINGS` is true where a
camera can be set; `DEFAULT_SIZE` is (height, width) where frames have that unless another is asked for.
"""


def open_source(request: SourceRequest) -> Source:
    """Open the source that `request.name` names. Raises SourceError, in one line, if there is none or it is empty."""
    from edge.errors import SourceError
    from edge.sources.address import redacted

    for kind in _KINDS:
        module: Any = import_module(f"edge.sources.{kind}")
        if module.claims(request.name):
            if refusal := _refusal(kind, module, request):
                raise SourceError(f"{redacted(request.name)} {refusal}")
            source: Source = module.open(request)
            return source
    raise SourceError(
        f"no such source: {request.name!r} is neither a file, a folder nor a known name; see edge-run --list-sources"
    )


def known_size(request: SourceRequest) -> tuple[int, int] | None:
    """(height, width) of the frames as asked for, or as the source has them anyway; None if opening it will tell."""
    if request.size is not None:
        return request.size
    if request.camera.region is not None:
        _, _, width, height = request.camera.region
        return height, width
    return getattr(_module(request.name), "DEFAULT_SIZE", None)


def takes_size(name: str) -> bool:
    """Whether it is a camera, which gives frames of the size that it is asked for."""
    return getattr(_module(name), "HAS_SETTINGS", False)


def _module(name: str) -> Any:
    """What opens sources of this name, or None."""
    modules: list[Any] = [import_module(f"edge.sources.{kind}") for kind in _KINDS]
    return next((module for module in modules if module.claims(name)), None)


def _refusal(kind: str, module: Any, request: SourceRequest) -> str | None:
    """Why a source of this kind cannot be opened so, whatever it is; None if it can."""
    if request.watch and kind != "folder":
        return "cannot be watched: leave out --watch, or give a folder"
    if request.size is not None and kind in ("folder", "video"):
        return "shows pictures of the size that they have: leave out --size"
    if request.camera != CameraSettings() and not getattr(module, "HAS_SETTINGS", False):
        said = ", ".join(key for key, value in vars(request.camera).items() if value is not None)
        return f"has no settings of a camera: leave out {said}, of --camera or the file; camera0 and genicam: have them"
    return None


def list_sources() -> list[tuple[str, str]]:
    """The sources that exist on this machine right now: (name to give to --source, description)."""
    return [row for kind in _KINDS for row in import_module(f"edge.sources.{kind}").available()]
