"""Source `rtsp://…`, `rtsps://…`, `http://…`, `udp://…`: a camera on the network, through FFmpeg.

RTSP comes over TCP. `rtsp://…?transport=udp` asks for UDP, where FFmpeg does not tell of lost packets, and a picture
with a hole in it passes for whole. MPEG-TS (`udp://`) counts its packets: a picture with a hole, and all until the next
key frame, are captures with a fault, but now and then one slips through before the loss is seen. Neither is for a gate.
The certificate of `rtsps` and `https` is not checked.

**What is damaged** has no frame, nor has what follows it until the next key frame. Motion JPEG, over HTTP or RTSP, is
decoded strictly: each picture stands for itself.

**Which picture.** A thread receives all the time, so that nothing waits in sockets. Whoever asks gets the newest
picture; those passed over are decoded if later ones need them, else not even that. `Capture.index` counts them all.

**How old it is.** A camera's time stamps say when pictures were taken relative to each other, and the picture that took
the shortest way says how the camera's clock stands to ours: `captured_ns` is the picture's stamp on that clock. So a
picture that was held up is stamped as old as it is, and a burst after a pause is not taken for new. What it cannot
know is the part of the delay that all pictures share: exposure, the camera's encoder, the shortest way itself. A delay
that comes and stays is told from clocks that part for a while only: 1 ms of it is taken for theirs each second. A new
connection is listened to until pictures come no faster than they were taken: cameras and servers begin with old ones;
and so is a camera that has set its clock. Streams without the camera's time stamps (pictures over HTTP) are stamped as
they arrive.

**When it is back.** One that was lost is knocked at until its port answers, in the process that then opens it: a
process that dies of each refusal and is started again would be late by its start and half a back-off.

Of H.264 and H.265 each picture is seen one frame interval late: FFmpeg knows that it is whole when the next one begins.
The stamp takes that into account.
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
from edge.sources.decoding import CHECKS
from edge.sources.ffmpeg_log import complaints
from edge.sources.stored import wanted
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

OPEN_S = 10.0
"""Patience with a camera until it has answered, and then until its pictures come steadily. Some send a key frame,
without which none can be decoded, every few seconds only."""

AWAITED_S = 8.0
"""Patience with a camera that was lost, until its port answers."""

READ_S = 5.0
"""A connection that is silent for this long has failed. A station does not wait that long for a frame."""

BEHIND_MS = 1000
"""A stream whose pictures are older than this for two seconds on end will not catch up: only a new connection helps."""

MOST_WAITING = 1000
"""Packets without a key frame among them that may wait to be decoded."""

CAMERA_STAMPS = frozenset({"rtsp", "mpegts", "flv"})
"""Formats whose time stamps are the camera's. FFmpeg makes up those of others, from a rate that nobody promised."""


def claims(name: str) -> bool:
    """Whether `name` is an address, of a kind known here or not."""
    return scheme(name) is not None


def available() -> list[tuple[str, str]]:
    """The network is not searched."""
    return []


def open(request: SourceRequest) -> "StreamSource":
    """Connect, and wait until pictures come steadily. Raises SourceError if that takes too long or is refused."""
    return StreamSource(request)


class StreamSource(Source):
    """A free-running camera on the network. `name` is its address without credentials."""

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
        container = connect(request.name, self.name, OPEN_S, READ_S, AWAITED_S if request.is_lost else 0)
        video = container.streams.video[0]
        self._decoder = video.codec_context
        self._decoder.options = {**self._decoder.options, **CHECKS}
        self._bits = request.bits
        self._decoder.thread_type = "SLICE"  # threads that share frames hold them back
        self._is_jpeg = self._decoder.name == "mjpeg"
        self._clock = CameraClock(is_known=container.format.name in CAMERA_STAMPS, is_held_back=not self._is_jpeg)
        threading.Thread(target=self._receive, args=(container,), name="receive", daemon=True).start()
        self.shape = self._settle()

    def captures(self) -> Iterator[Capture]:
        """The newest picture, again and again. Raises SourceError if the stream ends, breaks off or falls behind."""
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
        """Hang up. The thread that receives does it, before the next packet or when it has waited READ_S for it."""
        self._received.close()

    def _receive(self, container: "InputContainer") -> None:
        """Work of the thread: every packet as it comes, stamped on arrival."""
        import av.error

        cause = f"{self.name}: the stream has ended"
        try:
            for packet in container.demux(container.streams.video[0]):
                arrived_ns = time.monotonic_ns()
                if self._received.is_closed:
                    return
                if packet.size:  # an empty one says that there are no more
                    self._received.put(packet, self._clock.hear(_stamp_ns(packet), arrived_ns))
        except av.error.FFmpegError as error:
            cause = explained(self.name, error, READ_S)
        finally:
            container.close()
            self._received.end(cause)

    def _settle(self) -> tuple[int, int]:
        """Pass over what comes until pictures come steadily and one is whole; its (height, width)."""
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
        """Decode what waits, and then what came meanwhile; the last picture of it, None if it gave none."""
        newest = None
        for patience in (patience_s, 0):
            for packet in self._received.take(patience):
                newest = self._decode(packet) or newest
        return newest

    def _decode(self, received: "_Packet") -> "_Picture | None":
        """The picture that this packet completes. One that is damaged, and all that build on it, have no frame."""
        import av.error

        frame: VideoFrame | bytes | None = None
        is_key, was_sound, heard = False, self._was_sound, complaints()
        is_sound = not received.packet.is_corrupt
        try:
            if self._is_jpeg:
                frame, is_key, was_sound = bytes(received.packet), True, True  # it builds on no other
            else:
                for decoded in self._decoder.decode(received.packet):
                    is_sound &= not decoded.is_corrupt
                    frame, is_key = decoded, decoded.key_frame
        except av.error.FFmpegError:
            is_sound = False
        is_sound &= complaints() == heard
        if not is_sound:
            self._is_damaged = True
        elif was_sound and is_key:  # damage may be told of one packet early
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
    """`number` counts the packets of a connection, `arrived_ns` is when it came, as nearly as `CameraClock` knows."""

    number: int
    arrived_ns: int
    packet: "Packet[VideoStream]"


class _Picture(NamedTuple):
    number: int
    captured_ns: int
    frame: "VideoFrame | bytes | None"  # bytes of a JPEG


class _Received:
    """Packets on their way from the thread that receives to the one that decodes."""

    def __init__(self) -> None:
        self.is_closed = False
        self._changed = threading.Condition()
        self._packets: deque[_Packet] = deque()
        self._count = 0
        self._cause: str | None = None

    def put(self, packet: "Packet[VideoStream]", arrived_ns: int) -> None:
        """Add one. A key frame makes those before it worthless."""
        with self._changed:
            if packet.is_keyframe or len(self._packets) >= MOST_WAITING:
                self._packets.clear()
            self._packets.append(_Packet(self._count, arrived_ns, packet))
            self._count += 1
            self._changed.notify()

    def take(self, patience_s: float) -> list[_Packet]:
        """All that wait, at least one unless `patience_s` goes by. Raises SourceError if there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._packets or self._cause, patience_s)
            if not self._packets and self._cause:
                raise SourceError(self._cause)
            packets = list(self._packets)
            self._packets.clear()
            return packets

    def end(self, cause: str) -> None:
        """No more will come."""
        with self._changed:
            self._cause = cause
            self._changed.notify()

    def close(self) -> None:
        """No more are wanted."""
        self.is_closed = True


def _stamp_ns(of: "Packet[VideoStream] | VideoFrame") -> int | None:
    if of.pts is None or of.time_base is None:
        return None
    return int(of.pts * of.time_base * 1_000_000_000)


KIND = Kind(claims, open, available)
