"""Source `camera0`, `/dev/video0`, `/dev/v4l/by-id/…`: a camera with a driver of the operating system.

`camera0` is the first camera of this machine, `camera1` the second. A camera may have several nodes below `/dev`, only
one of which delivers pictures. After the first opening a camera is reopened by its persistent name, so that no other
camera takes its place.

**Which frame.** A driver has a few buffers. If the reader is slow the buffers fill, and then they hold the oldest
frames, not the newest. To get the newest frame, the source grabs until a frame has not waited: a frame for which the
grab had to wait is the newest, and so is a frame that the driver stamped less than one exposure ago. Skipped frames
appear as gaps of `Capture.index`. Frames that the driver dropped because all its buffers were full cannot be counted.

**Which bytes.** OpenCV decodes a damaged JPEG without an error, and accepts a buffer that is only partly filled. So the
source requests the driver's raw bytes and decodes them itself.
"""

import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge.errors import DataError, SourceError
from edge.sources.base import Capture, Kind, Source, SourceRequest
from edge.sources.freshness import AT_ONCE_NS, Freshness
from edge.sources.raw_frames import COMPRESSED, converted, is_converted_here
from edge.sources.stored import wanted
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    import cv2

DEVICES = Path("/dev")
DRIVER_NAMES = Path("/sys/class/video4linux")

OLDEST_NS = 60_000_000_000
"""A driver's time stamp that is older than this, or in the future, belongs to another clock."""

DEEPEST_QUEUE = 32
"""V4L2's limit for the buffers of a driver. After this many skipped frames the next frame is new."""

FEWEST_BUFFERS = 2
"""Number of buffers assumed if OpenCV reports none or an impossible number."""

BUFFERS = 2
"""One buffer is filled while the other is read. More buffers would mean more frames to skip after a pause."""


PERMISSION = "add this user to the group video"
"""The remedy where a camera may not be opened."""


class Device(NamedTuple):
    """A camera of this machine: the node that delivers its pictures, and its persistent name, if it has one."""

    node: Path
    lasting: Path | None

    @property
    def name(self) -> str:
        """The name to give to --source."""
        return str(self.lasting or self.node)


def claims(name: str) -> bool:
    """Whether `name` means a camera, connected or not."""
    return re.fullmatch(r"camera\d+|/dev/video\d+|/dev/v4l/by-(id|path)/.+", name) is not None


def devices() -> list[Device]:
    """The cameras by node number, each once; nodes that deliver something else, such as metadata, are left out.

    No device is opened, so that a camera that another program uses is listed too.
    """
    links = [link for kind in ("by-path", "by-id") for link in sorted((DEVICES / "v4l" / kind).glob("*-video-index*"))]
    lasting = {link.resolve(): link for link in links}  # by-id wins: it stays valid at another USB port
    nodes = sorted(DEVICES.glob("video[0-9]*"), key=lambda node: (len(node.name), node.name))
    found = []
    for node in nodes:
        link = lasting.get(node.resolve())
        is_first = _index(node) == 0 if link is None else link.name.endswith("-video-index0")
        if is_first:
            found.append(Device(node, link))
    return found


def available() -> list[tuple[str, str]]:
    """The cameras of this machine, by the name that survives replugging where there is one."""
    return [
        (device.name, f"camera{number}, {_driver_name(device.node)} at {device.node}")
        for number, device in enumerate(devices())
    ]


def missing(has_any: bool) -> str | None:
    """That no camera is there, or that this user may not open those that are."""
    if sys.platform != "linux":
        return "the cameras of this operating system are not searched for; try camera0"
    if not has_any:
        return "no camera is connected"
    closed = [str(device.node) for device in devices() if not _may_open(device)]
    return f"no permission to open {', '.join(closed)}; {PERMISSION}" if closed else None


def _may_open(device: Device) -> bool:
    return os.access(device.node, os.R_OK | os.W_OK)


class CameraSource(Source):
    """A free-running camera. `shape` is the frame size that the driver reports.

    `lasting_name` opens the same camera again. `remarks` name the device, in a line each, and what the driver changed
    from the requested settings.
    """

    live = True
    free_running = True
    device = True
    decodes = True

    def __init__(self, request: SourceRequest) -> None:
        self.name = self.lasting_name = request.name
        self._wanted = wanted(request, None)
        self.length = self._wanted.length
        _check_settings(request)
        remarks, opened_ns = [], time.monotonic_ns()
        if sys.platform == "linux":
            device = _device(request.name)
            self.lasting_name = device.name
            if device.name != request.name:
                remarks.append(f"is {device.name}" + (f" ({device.node})" if device.lasting else ""))
            self._camera = _open_node(request.name, device.node)
        else:
            self._camera = _open_number(request.name)
        remarks += _configure(self._camera, request, self._wanted.rate)
        self.remarks = tuple(f"{request.name}: {remark}" for remark in remarks)
        self.shape = _shape(self._camera)
        self._grabs_ns = deque([opened_ns], _buffers(self._camera) + 1)  # times of the last grabs
        self._passes_over = not request.every
        self._bits = request.bits
        self._raw_format = _ask_for_raw(self._camera, request.name)
        self._freshness = Freshness(_reported_rate(self._camera))

    def captures(self) -> Iterator[Capture]:
        """One capture per exposure, or only the newest; `index` counts skipped frames too.

        Raises SourceError if the driver stops delivering.
        """
        index, end = self._wanted.start, self._wanted.end
        while end is None or index < end:
            passed_over, captured_ns = self._grab()
            index += passed_over
            if end is not None and index >= end:
                return
            yield self._retrieve(index, captured_ns)
            index += 1

    def close(self) -> None:
        """Release the device."""
        self._camera.release()

    def _grab(self) -> tuple[int, int]:
        """Grab a frame, the newest unless every frame is wanted: the number of skipped frames, and the exposure time.

        Without a driver's time stamp, the exposure time is now if the grab had to wait for the frame. A frame that lay
        in the driver's queue may be as old as its buffer has been free: since the grab one queue length ago.
        """
        passed_over = -1
        is_newest = False
        while not is_newest and passed_over < DEEPEST_QUEUE:
            passed_over += 1
            began_ns = time.monotonic_ns()
            self._grabs_ns.append(began_ns)
            if not self._camera.grab():
                raise SourceError(f"{self.name} delivers no frames any more; check its cable and power")
            now_ns = time.monotonic_ns()
            stamp_ns = self._stamp_ns(now_ns)
            is_newest = self._freshness.is_newest(stamp_ns, began_ns, now_ns) or not self._passes_over
        if stamp_ns is None:
            return passed_over, now_ns if now_ns - began_ns >= AT_ONCE_NS else self._grabs_ns[0]
        return passed_over, stamp_ns

    def _stamp_ns(self, now_ns: int) -> int | None:
        """The driver's time stamp of the frame just grabbed, on V4L2's monotonic clock; None if it belongs to another
        clock.
        """
        import cv2

        stamp_ns = int(self._camera.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp_ns if stamp_ns > 0 and 0 <= now_ns - stamp_ns <= OLDEST_NS else None

    def _retrieve(self, index: int, captured_ns: int) -> Capture:
        import numpy as np

        name = f"frame {index}"
        is_given, frame = self._camera.retrieve(self.room if self._raw_format is None else None)
        if not is_given:
            return Capture(index, name, None, captured_ns, fault=Fault(Reason.CORRUPT, "the driver gave no frame"))
        pixels = np.ascontiguousarray(frame, np.uint8)
        if self._raw_format is None:
            return Capture(index, name, pixels, captured_ns)
        try:
            pixels = converted(pixels, self._raw_format, self.shape, self._bits, self.room)
        except DataError as error:
            return Capture(index, name, None, captured_ns, fault=Fault(Reason.CORRUPT, f"the camera's frame {error}"))
        return Capture(index, name, pixels, captured_ns)


def open(request: SourceRequest) -> CameraSource:
    """Open a camera. Raises SourceError, listing the cameras found, if this one is missing or does not open."""
    return CameraSource(request)


def _device(name: str) -> Device:
    """The camera of this name. Raises SourceError if it is missing or not readable."""
    there = devices()
    device = _numbered(name, there) if re.fullmatch(r"camera\d+", name) else _named(name, there)
    if not _may_open(device):
        raise SourceError(f"{name}: no permission to open {device.node}; {PERMISSION}")
    return device


def _numbered(name: str, there: list[Device]) -> Device:
    number = int(name.removeprefix("camera"))
    if number < len(there):
        return there[number]
    count = "is 1 camera" if len(there) == 1 else f"are {len(there)} cameras"
    counted = f"there {count}, counted from camera0; " if there else ""
    raise SourceError(f"no camera {name}: {counted}{_listing(there)}")


def _named(name: str, there: list[Device]) -> Device:
    node = Path(name)
    if not node.exists():
        raise SourceError(f"no camera {name}: it does not exist; {_listing(there)}")
    known = next((device for device in there if device.node.resolve() == node.resolve()), None)
    return Device(node, known.lasting if known else None)


def _open_node(name: str, node: Path) -> "cv2.VideoCapture":
    import cv2

    camera = cv2.VideoCapture(str(node), cv2.CAP_V4L2)
    if not camera.isOpened():
        camera.release()
        raise SourceError(
            f"{name} does not open: another program may be using it, or it is no video camera; " + _listing(devices())
        )
    return camera


def _open_number(name: str) -> "cv2.VideoCapture":
    """Open a camera by OpenCV's own numbering, on systems without V4L2."""
    import cv2

    if not name.startswith("camera"):
        raise SourceError(f"no camera {name}: on this system they are camera0, camera1 …")
    camera = cv2.VideoCapture(int(name.removeprefix("camera")), cv2.CAP_ANY)
    if not camera.isOpened():
        camera.release()
        raise SourceError(f"{name} does not open: it is not there, or another program is using it")
    return camera


def _listing(there: list[Device]) -> str:
    if not there:
        return "no camera is connected here; connect one, or try --source demo"
    return f"here are: {', '.join(device.name for device in there)}"


def _check_settings(request: SourceRequest) -> None:
    """Raises SourceError if the request has settings that only other kinds of cameras support."""
    s = request.camera
    for setting in fields(s):
        if setting.name != "pixel_format" and getattr(s, setting.name) is not None:
            remedy = "this one takes pixel_format, and --size and --rate"
            raise SourceError(f"{request.name}: {setting.name} is a setting of GenICam cameras; {remedy}")
    if s.pixel_format is not None and re.fullmatch(r"[ -~]{4}", s.pixel_format) is None:
        raise SourceError(f"{request.name}: pixel_format {s.pixel_format!r}: give its four characters, as MJPG or YUYV")


def _configure(camera: "cv2.VideoCapture", request: SourceRequest, rate: float | None) -> list[str]:
    """Set the requested settings and read them back. Returns a sentence for each that the driver changed.

    The format is set first: sizes and rates depend on it.
    """
    import cv2

    pixel_format = request.camera.pixel_format
    if pixel_format is not None:
        camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*pixel_format))
    if request.size is not None:
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, request.size[0])
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, request.size[1])
    if rate is not None:
        camera.set(cv2.CAP_PROP_FPS, rate)
    if not request.every:
        camera.set(cv2.CAP_PROP_BUFFERSIZE, BUFFERS)
    got_format, got_size, got_rate = _reported_format(camera), _shape(camera), _reported_rate(camera)
    remarks = []
    if pixel_format is not None and got_format != pixel_format:
        remarks.append(f"pixel_format {pixel_format} was asked for, the camera took {got_format or 'one without name'}")
    if request.size is not None and got_size != request.size:
        took = f"{got_size[1]}x{got_size[0]}" if got_size else "one that it does not say"
        remarks.append(f"size {request.size[1]}x{request.size[0]} was asked for, the camera took {took}")
    if rate is not None and (got_rate is None or abs(got_rate - rate) > 0.01 * rate):
        took = f"{got_rate:g}" if got_rate else "one that it does not say"
        remarks.append(f"rate {rate:g} was asked for, the camera took {took}")
    return remarks


def _ask_for_raw(camera: "cv2.VideoCapture", name: str) -> str | None:
    """Request frames as the driver delivers them. Returns their format, or None if OpenCV keeps converting them.

    Raises SourceError if that conversion would hide damage.
    """
    import cv2

    pixel_format = _reported_format(camera)
    if pixel_format is None or not is_converted_here(pixel_format):
        return None
    camera.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    if camera.get(cv2.CAP_PROP_CONVERT_RGB) == 0:
        return pixel_format
    if pixel_format in COMPRESSED:
        raise SourceError(
            f"{name}: {pixel_format} comes decoded already, so that damaged frames could not be told from whole ones; "
            "set another pixel_format, as YUYV"
        )
    return None


def _buffers(camera: "cv2.VideoCapture") -> int:
    """Number of frames that the driver's queue holds."""
    import cv2

    reported = int(camera.get(cv2.CAP_PROP_BUFFERSIZE))
    return reported if FEWEST_BUFFERS <= reported <= DEEPEST_QUEUE else FEWEST_BUFFERS


def _reported_format(camera: "cv2.VideoCapture") -> str | None:
    """The four characters of the format that the driver delivers; None if unknown."""
    import cv2

    code = int(camera.get(cv2.CAP_PROP_FOURCC))
    return code.to_bytes(4, "little").decode("ascii", "replace") if code > 0 else None


def _reported_rate(camera: "cv2.VideoCapture") -> float | None:
    import cv2

    rate = float(camera.get(cv2.CAP_PROP_FPS))
    return rate if 0 < rate < float("inf") else None


def _shape(camera: "cv2.VideoCapture") -> tuple[int, int] | None:
    import cv2

    height, width = (int(camera.get(key)) for key in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
    return (height, width) if height > 0 and width > 0 else None


def _index(node: Path) -> int:
    """The driver's index of the node within its device; node 0 delivers pictures. 0 if the driver gives no index."""
    try:
        return int((DRIVER_NAMES / node.name / "index").read_text())
    except (OSError, ValueError):
        return 0


def _driver_name(node: Path) -> str:
    try:
        return (DRIVER_NAMES / node.name / "name").read_text().strip()
    except OSError:
        return "without a name"


KIND = Kind(
    claims,
    open,
    ("camera0", "/dev/v4l/by-id/…", "/dev/video0"),
    "a camera with a driver of the operating system, as a webcam: camera0 is the first one",
    available,
    missing,
    has_settings=True,
    is_exclusive=True,
)
