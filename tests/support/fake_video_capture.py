"""A fake of cv2.VideoCapture, because the test machines have no cameras. Its driver has a queue of buffers like V4L2.
With conversion switched off it returns the bytes of a buffer as 1 x N uint8, like OpenCV 5.

The time is simulated: it advances when the camera is waited for, and when a test advances it.
"""

from collections.abc import Callable

import cv2
import numpy as np

MS = 1_000_000
PIXEL_FORMATS = ("YUYV", "MJPG", "GREY", "Y16 ", "NV12")


class Clock:
    """Replaces the module `time` in `edge.sources.camera`."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000 * MS

    def monotonic_ns(self) -> int:
        return self.now_ns

    def pass_ms(self, ms: float) -> None:
        self.now_ns += round(ms * MS)


class FakeVideoCapture:
    """A camera that exposes every `period_ms` from its first grab on, and loses power after `frames` grabs.

    An exposure is stored in a free buffer of the driver. Without a free buffer it is lost, as with V4L2, and the oldest
    frames stay in the queue. A frame is available `way_ms` after its stamp. Its pixels encode the number of its
    exposure.
    """

    clock = Clock()
    period_ms, way_ms, frames = 33.0, 5.0, 1000
    sizes = ((480, 640), (720, 1280))
    rates = (15.0, 30.0)
    stamps = True  # whether the driver gives time stamps
    gives = True  # whether a grabbed frame can be retrieved
    hands_out_raw = True  # whether conversion can be switched off
    damage: Callable[[bytes], bytes] | None = None  # applied to the bytes of each frame

    def __init__(self, device: str, api: int) -> None:
        self.device, self.api, self.released = device, api, 0
        self.asked: dict[int, float] = {}
        self.left = self.frames
        self._height, self._width = self.sizes[0]
        self._rate, self._fourcc, self._buffers = self.rates[-1], cv2.VideoWriter.fourcc(*PIXEL_FORMATS[0]), 4
        self._waiting: list[tuple[int, int]] = []  # number of the exposure, and its stamp
        self._held: tuple[int, int] | None = None
        self._exposures = 0
        self._next_ns: int | None = None
        self._converts = True

    def isOpened(self) -> bool:  # noqa: N802
        return "refuses" not in self.device

    def set(self, key: int, value: float) -> bool:
        self.asked[key] = value
        if key == cv2.CAP_PROP_FRAME_HEIGHT:
            self._height, self._width = min(self.sizes, key=lambda size: abs(size[0] - value))
        elif key == cv2.CAP_PROP_FPS:
            self._rate = min(self.rates, key=lambda rate: abs(rate - value))
        elif key == cv2.CAP_PROP_FOURCC and int(value).to_bytes(4, "little").decode() in PIXEL_FORMATS:
            self._fourcc = int(value)
        elif key == cv2.CAP_PROP_BUFFERSIZE:
            self._buffers = int(value)
        elif key == cv2.CAP_PROP_CONVERT_RGB and self.hands_out_raw:
            self._converts = bool(value)
        return True

    def get(self, key: int) -> float:
        stamp_ms = self._held[1] / MS if self._held is not None and self.stamps else 0.0
        return {
            cv2.CAP_PROP_FRAME_HEIGHT: float(self._height),
            cv2.CAP_PROP_FRAME_WIDTH: float(self._width),
            cv2.CAP_PROP_FPS: self._rate,
            cv2.CAP_PROP_BUFFERSIZE: float(self._buffers),
            cv2.CAP_PROP_FOURCC: float(self._fourcc),
            cv2.CAP_PROP_POS_MSEC: stamp_ms,
            cv2.CAP_PROP_CONVERT_RGB: float(self._converts),
        }.get(key, 0.0)

    def grab(self) -> bool:
        """Return the last buffer to the driver and take the oldest frame, after waiting for one if there is none."""
        self._held = None
        self.left -= 1
        if self.left < 0:
            return False
        if self._next_ns is None:
            self._next_ns = self.clock.now_ns + round(self.period_ms * MS)
        self._expose()
        if not self._waiting:
            self.clock.now_ns = self._next_ns + round(self.way_ms * MS)
            self._expose()
        self._held = self._waiting.pop(0)
        return True

    def _expose(self) -> None:
        """Store the exposures made up to the present time."""
        assert self._next_ns is not None
        while self._next_ns + round(self.way_ms * MS) <= self.clock.now_ns:
            if len(self._waiting) < self._buffers:
                self._waiting.append((self._exposures, self._next_ns))
            self._exposures += 1
            self._next_ns += round(self.period_ms * MS)

    def retrieve(self, room: np.ndarray | None = None) -> tuple[bool, np.ndarray | None]:
        if not self.gives or self._held is None:
            return False, None
        if not self._converts:
            raw = self._raw(self._held[0])
            data = raw if self.damage is None else self.damage(raw)
            return True, np.frombuffer(data, np.uint8).reshape(1, -1)
        frame = np.full((self._height, self._width, 3), self._held[0] % 256, np.uint8)
        if room is None or room.shape != frame.shape:
            return True, frame
        room[...] = frame
        return True, room

    def _raw(self, exposure: int) -> bytes:
        """The bytes of the buffer with this exposure."""
        size, value = (self._height, self._width), exposure % 219
        match int(self._fourcc).to_bytes(4, "little"):
            case b"YUYV":
                return np.full((*size, 2), (16 + value, 128), np.uint8).tobytes()
            case b"GREY":
                return np.full(size, value, np.uint8).tobytes()
            case b"Y16 ":
                return np.full(size, value << 4, np.uint16).tobytes()
            case b"NV12":
                return bytes([16 + value]) * (size[0] * size[1]) + bytes([128]) * (size[0] * size[1] // 2)
        picture = np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)
        picture[:16] = value
        return cv2.imencode(".jpg", picture)[1].tobytes()

    def release(self) -> None:
        self.released += 1
