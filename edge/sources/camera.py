"""Source `camera0`, `/dev/video0`, `/dev/v4l/by-id/…`: a camera that the system's own driver serves."""

import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import SourceError
from edge.quiet import quietly
from edge.sources import Capture, SourceRequest
from edge.sources.stored import wanted

if TYPE_CHECKING:
    import cv2

DEVICES = Path("/dev")
DRIVER_NAMES = Path("/sys/class/video4linux")

OLDEST_NS = 60_000_000_000
"""A stamp of the driver's that is older, or of the future, is of another clock."""

WAITED_NS = 1_000_000
"""A grab that took less found its frame in the driver's queue."""

FEWEST_BUFFERS, MOST_BUFFERS = 2, 32
"""Frames that a driver's queue has room for, where OpenCV does not say, or says what cannot be."""


def claims(name: str) -> bool:
    """Whether `name` means a camera, there or not."""
    return re.fullmatch(r"camera\d+|/dev/video\d+|/dev/v4l/by-(id|path)/.+", name) is not None


def available() -> list[tuple[str, str]]:
    """The cameras that the system shows, by the name that survives replugging where there is one.

    No device is opened: one that another program uses is listed too.
    """
    stable = sorted((DEVICES / "v4l" / "by-id").glob("*-video-index0"))
    reached = {link.resolve() for link in stable}
    nodes = sorted(DEVICES.glob("video[0-9]*"), key=lambda node: (len(node.name), node.name))
    rows = [(str(link), f"camera at {link.resolve()}") for link in stable]
    by_id = {link.resolve() for link in (DEVICES / "v4l" / "by-id").glob("*")}
    rows += [(str(node), _driver_name(node)) for node in nodes if node.resolve() not in reached | by_id]
    return rows


class CameraSource:
    """A free-running camera. `shape` is what the driver says it will deliver."""

    length: int | None = None
    live = True
    free_running = True
    device = True
    simulated = False

    def __init__(self, request: SourceRequest) -> None:
        self.name = request.name
        self._wanted = wanted(request, None)
        self.length = self._wanted.length
        opened_ns = time.monotonic_ns()
        self._camera = _open_camera(request)
        self._asked_ns = deque([opened_ns], _buffers(self._camera))  # when each of the last frames was asked for
        self.shape = _shape(self._camera)

    def captures(self) -> Iterator[Capture]:
        """One capture an exposure. Raises SourceError if the driver stops to deliver."""
        for index in self._wanted.indices():
            self._asked_ns.append(time.monotonic_ns())
            if not self._camera.grab():
                raise SourceError(f"{self.name} delivers no frames any more; check its cable and power")
            yield self._retrieve(index, self._exposed_ns())

    def close(self) -> None:
        """Give the device back."""
        self._camera.release()

    def _exposed_ns(self) -> int:
        """The driver's stamp of the frame just grabbed, by the monotonic clock as V4L2 has it.

        Without one it is now, if the frame came while it was waited for. One that lay in the driver's queue may have
        come as soon as there was room for it: when as many frames ago as the queue is long the next was asked for.
        """
        import cv2

        now, stamp_ns = time.monotonic_ns(), int(self._camera.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        if stamp_ns > 0 and 0 <= now - stamp_ns <= OLDEST_NS:
            return stamp_ns
        return now if now - self._asked_ns[-1] >= WAITED_NS else self._asked_ns[0]

    def _retrieve(self, index: int, captured_ns: int) -> Capture:
        import numpy as np

        name = f"frame {index}"
        (is_decoded, frame), _ = quietly(self._camera.retrieve)
        if not is_decoded:
            return Capture(index, name, None, captured_ns, fault="corrupt: the camera's frame does not decode")
        return Capture(index, name, np.ascontiguousarray(frame, np.uint8), captured_ns)


def open(request: SourceRequest) -> CameraSource:
    """Open a camera. Raises SourceError, which says what is there instead, if it is missing or does not open."""
    return CameraSource(request)


def _open_camera(request: SourceRequest) -> "cv2.VideoCapture":
    import cv2

    device = _device(request.name)
    if sys.platform == "linux":
        _check_device(request.name, device)
        camera, _ = quietly(lambda: cv2.VideoCapture(str(device), cv2.CAP_V4L2))
    else:
        camera, _ = quietly(lambda: cv2.VideoCapture(int(request.name.removeprefix("camera")), cv2.CAP_ANY))
    if not camera.isOpened():
        camera.release()
        raise SourceError(
            f"{request.name} does not open: another program may be using it, or it is no video camera; "
            + _what_is_there()
        )
    _configure(camera, request)
    return camera


def _device(name: str) -> Path:
    if name.startswith("/dev/"):
        return Path(name)
    return DEVICES / f"video{name.removeprefix('camera')}"


def _check_device(name: str, device: Path) -> None:
    if not device.exists():
        raise SourceError(f"no camera {name}: {device} does not exist; {_what_is_there()}")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(f"{name}: no permission to open {device}; add this user to the group video")


def _what_is_there() -> str:
    names = [name for name, _ in available()]
    if not names:
        return "no camera is connected here; connect one, or try --source demo"
    return f"here are: {', '.join(names)}"


def _configure(camera: "cv2.VideoCapture", request: SourceRequest) -> None:
    """Ask for what was asked; the shortest queue, so that a frame is not older than need be."""
    import cv2

    if request.size is not None:
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, request.size[0])
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, request.size[1])
    if request.rate is not None:
        camera.set(cv2.CAP_PROP_FPS, request.rate)
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)


def _buffers(camera: "cv2.VideoCapture") -> int:
    """How many frames the driver's queue has room for, with the one that is looked at."""
    import cv2

    said = int(camera.get(cv2.CAP_PROP_BUFFERSIZE))
    return said if FEWEST_BUFFERS <= said <= MOST_BUFFERS else FEWEST_BUFFERS


def _shape(camera: "cv2.VideoCapture") -> tuple[int, int] | None:
    import cv2

    height, width = (int(camera.get(key)) for key in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
    return (height, width) if height > 0 and width > 0 else None


def _driver_name(node: Path) -> str:
    try:
        return f"camera {(DRIVER_NAMES / node.name / 'name').read_text().strip()}"
    except OSError:
        return "camera"
