"""Source `rtsp://…`, `rtsps://…`, `http://…`, `udp://…`: a network camera, through FFmpeg.

RTSP uses TCP. `rtsp://…?transport=udp` selects UDP, where FFmpeg does not report lost packets, and a picture with a
hole passes for complete. MPEG-TS (`udp://`) counts its packets: a picture with a hole, and all pictures until the next
key frame, are captures with a fault, but occasionally one passes before the loss is detected. Neither is suitable for a
gate. The certificate of `rtsps` and `https` is not checked.

**What is damaged.** A damaged picture has no frame, nor have the pictures after it until the next key frame. Motion
JPEG, over HTTP or RTSP, is decoded strictly: each picture stands alone.

**Which picture.** A thread receives all the time, so that no data wait in sockets. The reader gets the newest picture;
skipped pictures are decoded only if later ones depend on them. `Capture.index` counts all pictures.

**How old it is.** A camera's time stamps give the relative times of the pictures. The picture with the lowest delay
gives the offset between the camera's clock and this machine's: `captured_ns` is the picture's stamp plus that offset.
So a delayed picture is stamped as old as it is, and a burst after a pause does not pass for new. The delay that all
pictures share stays unknown: exposure, the camera's encoder, the lowest network delay itself. A permanent increase of
the delay is indistinguishable from clock drift: 1 ms of it per second is attributed to drift. A new connection is
observed until pictures arrive no faster than they were taken, because cameras and servers begin with old pictures; the
same after a camera has set its clock. Streams without the camera's time stamps (pictures over HTTP) are stamped on
arrival.

**When it is back.** If the camera was lost, the process that opens it again polls its port until the port accepts a
connection. A process that exits at each refusal and is restarted would lose its start time and half a back-off.

With H.264 and H.265 each picture is available one frame interval late: FFmpeg knows that a picture is complete when the
next one begins. The stamp accounts for that.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from edge.errors import DataError, SourceError
from edge.pictures.jpeg import decode_jpeg
from edge.sources.address import redacted, scheme
from edge.sources.base import Capture, Kind, Source, SourceRequest
from edge.sources.camera_clock import CameraClock
from edge.sources.connection import connect, explained
from edge.sources.decoded_frame import bgr
from edge.sources.decoding import CHECKS, check_decoder, missing
from edge.sources.ffmpeg_log import logged_errors
from edge.sources.stored import wanted
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

OPEN_S = 10.0
"""Timeout until a camera has answered, and then until its pictures are steady. Some cameras send a key frame, without
which no picture can be decoded, only every few seconds."""

RECONNECT_S = 8.0
"""Timeout until the port of a lost camera accepts a connection."""

READ_S = 5.0
"""A connection that is silent for this long has failed. A station's own limit for a frame is shorter."""

BEHIND_MS = 1000
"""A stream whose pictures are older than this for two seconds will not catch up: it needs a new connection."""

MOST_WAITING = 1000
"""Largest number of packets without a key frame that wait for decoding."""

CAMERA_STAMPS = frozenset({"rtsp", "mpegts", "flv"})
"""Formats whose time stamps are the camera's. For other formats FFmpeg computes stamps from an assumed rate."""


def claims(name: str) -> bool:
    """Whether `name` is a URL, with a supported scheme or not."""
    return scheme(name) is not None


def open(request: SourceRequest) -> "StreamSource":
    """Connect, and wait until pictures are steady. Raises SourceError on a timeout or a refusal."""
    check_decoder(redacted(request.name))
    return StreamSource(request)


class StreamSource(Source):
    """A free-running network camera. `name` is its address without credentials."""

    live = True
    free_running = True
    device = True

    def __init__(self, request: SourceRequest) -> None:
        self.name = redacted(request.name)
        if request.size is not None:
            raise SourceError(f"{self.name}: a stream has the size that its camera gives it; set it there")
        self._wanted = wanted(request, None)
        self.length = self._wanted.length
        self._is_damaged = True  # until the first key frame
        self._was_sound = True
        self._first = 0  # number of the packet that is the first picture
        self._on_time_ns = 0
        self._received = _Received()
        container = connect(request.name, self.name, OPEN_S, READ_S, RECONNECT_S if request.is_lost else 0)
        video = container.streams.video[0]
        self._decoder = video.codec_context
        self._decoder.options = {**self._decoder.options, **CHECKS}
        self._bits = request.bits
        self._decoder.thread_type = "SLICE"  # frame threads hold frames back
        self._is_jpeg = self._decoder.name == "mjpeg"
        self._clock = CameraClock(is_known=container.format.name in CAMERA_STAMPS, is_held_back=not self._is_jpeg)
        threading.Thread(target=self._receive, args=(container,), name="receive", daemon=True).start()
        self.shape = self._settle()

    def captures(self) -> Iterator[Capture]:
        """The newest picture, repeatedly. Raises SourceError if the stream ends, breaks off or falls behind."""
        while True:
            newest = self._newest(READ_S)
            if newest is None or not self._clock.is_settled:
                continue
            position = self._wanted.start + newest.number - self._first
            if self._wanted.end is not None and position >= self._wanted.end:
                return
            self._check_age(newest.captured_ns)
            yield self._capture(position, newest)

    def close(self) -> None:
        """Disconnect. The receiving thread does so before the next packet or after READ_S without one."""
        self._received.close()

    def _receive(self, container: "InputContainer") -> None:
        """The receiving thread: queue every packet, stamped on arrival."""
        import av.error

        cause = f"{self.name}: the stream has ended"
        try:
            for packet in container.demux(container.streams.video[0]):
                arrived_ns = time.monotonic_ns()
                if self._received.is_closed:
                    return
                if packet.size:  # an empty packet marks the end
                    self._received.put(packet, self._clock.record(_stamp_ns(packet), arrived_ns))
        except av.error.FFmpegError as error:
            cause = explained(self.name, error, READ_S)
        finally:
            container.close()
            self._received.end(cause)

    def _settle(self) -> tuple[int, int]:
        """Skip pictures until they are steady and one is complete; returns its (height, width)."""
        until = time.monotonic() + OPEN_S
        shape = None
        while shape is None or not self._clock.is_settled:
            left_s = until - time.monotonic()
            if left_s <= 0:
                self.close()
                what = "whole picture" if shape is None else "steady stream"
                raise SourceError(f"{self.name}: connected, but no {what} within {OPEN_S:.0f} s")
            newest = self._newest(left_s)
            if newest is None:
                continue
            self._first, frame = newest.number + 1, self._capture(0, newest).frame
            shape = shape if frame is None else (frame.shape[0], frame.shape[1])
        self._on_time_ns = time.monotonic_ns()
        return shape

    def _newest(self, patience_s: float) -> "_Picture | None":
        """Decode the waiting packets, then those that arrived meanwhile; the last picture, None if there is none."""
        newest = None
        for patience in (patience_s, 0):
            for packet in self._received.take(patience):
                newest = self._decode(packet) or newest
        return newest

    def _decode(self, received: "_Packet") -> "_Picture | None":
        """The picture that this packet completes. Damaged pictures, and those that depend on them, have no frame."""
        import av.error

        frame: VideoFrame | bytes | None = None
        is_key, was_sound, errors_before = False, self._was_sound, logged_errors()
        is_sound = not received.packet.is_corrupt
        try:
            if self._is_jpeg:
                frame, is_key, was_sound = bytes(received.packet), True, True  # a JPEG depends on no other picture
            else:
                for decoded in self._decoder.decode(received.packet):
                    is_sound &= not decoded.is_corrupt
                    frame, is_key = decoded, decoded.key_frame
        except av.error.FFmpegError:
            is_sound = False
        is_sound &= logged_errors() == errors_before
        if not is_sound:
            self._is_damaged = True
        elif was_sound and is_key:  # FFmpeg may report damage one packet early
            self._is_damaged = False
        self._was_sound = is_sound
        if frame is None and not self._is_damaged:
            return None
        stamp_ns = _stamp_ns(received.packet if frame is None or isinstance(frame, bytes) else frame)
        captured_ns = min(self._clock.moment_ns(stamp_ns, received.arrived_ns), time.monotonic_ns())
        return _Picture(received.number, captured_ns, None if self._is_damaged else frame)

    def _capture(self, position: int, picture: "_Picture") -> Capture:
        name, fault = f"frame {position}", Fault(Reason.CORRUPT, "the stream is damaged until its next key frame")
        try:
            if isinstance(picture.frame, bytes):
                pixels = decode_jpeg(picture.frame)
            elif picture.frame is not None:
                pixels = bgr(picture.frame, self._bits)
            else:
                return Capture(position, name, None, picture.captured_ns, fault=fault)
        except DataError as error:
            return Capture(
                position, name, None, picture.captured_ns, fault=Fault(Reason.CORRUPT, f"the picture {error}")
            )
        return Capture(position, name, pixels, picture.captured_ns)

    def _check_age(self, captured_ns: int) -> None:
        now = time.monotonic_ns()
        behind_ms = (now - captured_ns) / 1e6
        if behind_ms <= BEHIND_MS:
            self._on_time_ns = now
        elif now - self._on_time_ns > 2_000_000_000:
            raise SourceError(
                f"{self.name} shows what was {behind_ms / 1000:.1f} s ago and does not catch up; the network or this "
                "machine is too slow for it, or the camera's clock is wrong"
            )


class _Packet(NamedTuple):
    """`number` counts the packets of a connection; `arrived_ns` is the arrival time, as `CameraClock` knows it."""

    number: int
    arrived_ns: int
    packet: "Packet[VideoStream]"


class _Picture(NamedTuple):
    number: int
    captured_ns: int
    frame: "VideoFrame | bytes | None"  # bytes of a JPEG


class _Received:
    """Queue of packets from the receiving thread to the decoding thread."""

    def __init__(self) -> None:
        self.is_closed = False
        self._changed = threading.Condition()
        self._packets: deque[_Packet] = deque()
        self._count = 0
        self._cause: str | None = None

    def put(self, packet: "Packet[VideoStream]", arrived_ns: int) -> None:
        """Add a packet. A key frame makes the packets before it superfluous."""
        with self._changed:
            if packet.is_keyframe or len(self._packets) >= MOST_WAITING:
                self._packets.clear()
            self._packets.append(_Packet(self._count, arrived_ns, packet))
            self._count += 1
            self._changed.notify()

    def take(self, patience_s: float) -> list[_Packet]:
        """All waiting packets; waits up to `patience_s` for the first. Raises SourceError if the stream has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._packets or self._cause, patience_s)
            if not self._packets and self._cause:
                raise SourceError(self._cause)
            packets = list(self._packets)
            self._packets.clear()
            return packets

    def end(self, cause: str) -> None:
        """The stream has ended; `cause` is the message of the SourceError."""
        with self._changed:
            self._cause = cause
            self._changed.notify()

    def close(self) -> None:
        """The reader needs no more packets."""
        self.is_closed = True


def _stamp_ns(of: "Packet[VideoStream] | VideoFrame") -> int | None:
    if of.pts is None or of.time_base is None:
        return None
    return int(of.pts * of.time_base * 1_000_000_000)


KIND = Kind(
    claims,
    open,
    ("rtsp://USER:PASSWORD@HOST/PATH", "rtsps://…", "http://…", "https://…", "udp://…"),
    "a network camera, through PyAV",
    missing=missing,
)
