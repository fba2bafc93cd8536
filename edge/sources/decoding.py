"""Frames from the packets of a file, in display order: each exactly as stored, or with the reason why it is not.

FFmpeg continues after damage: it fills missing areas from the previous picture, and the frames that depend on such a
picture inherit the damage. So all frames from the damage to the next key frame are rejected. Motion JPEG is decoded
strictly and not by FFmpeg, which conceals missing JPEG data.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edge.errors import DataError, SourceError
from edge.frame import Frame
from edge.sources.decoded_frame import UPRIGHT, Matrix, bgr, matrix_of, matrix_of_jpeg, upright
from edge.sources.ffmpeg_log import logged_errors
from edge.sources.packets import DAMAGED, MISSING, Coded

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream

CHECKS = {"err_detect": "crccheck+bitstream+buffer+explode"}
"""FFmpeg compares checksums where the codec has any (FFV1, PNG, picture hashes of H.265) and reports errors.
Error concealment stays enabled, because it sets the mark of concealed frames.
"""

MOST_REORDERED = 16
"""Largest number of frames decoded before a frame that is shown before them: H.264, A.3.1, and H.265, A.4.2."""


def missing(has_any: bool = False) -> str | None:
    """That PyAV is not installed, and how it is; see `Kind.missing`."""
    if find_spec("av") is not None:
        return None
    return "PyAV, a dependency of edge-inspect, is not installed: pip install 'av>=18'"


def check_decoder(name: str) -> None:
    """Raise SourceError, which names the source, if PyAV is not installed."""
    if (why := missing()) is not None:
        raise SourceError(f"{name}: {why}")


class Picture:
    """One frame of a video, converted to pixels only on request."""

    def __init__(self, fault: str | None = None, shown: "VideoFrame | None" = None) -> None:
        self._fault, self._frame = fault, shown

    def pixels(self, bits: int | None, room: "Frame | None") -> Frame:
        """`uint8 [height, width, 3]` BGR, in `room` if it fits. Raises DataError, with the fault, if it is damaged."""
        if self._frame is None or self._fault is not None:
            raise DataError(self._fault or MISSING)
        return bgr(self._frame, bits, room)


class Jpeg(Picture):
    """One frame of Motion JPEG: `size` is the container's (height, width), `matrix` the orientation."""

    def __init__(self, data: bytes, size: tuple[int, int], matrix: Matrix) -> None:
        super().__init__()
        self._data, self._size, self._matrix = data, size, matrix

    def pixels(self, bits: int | None, room: "Frame | None") -> Frame:
        """See `Picture`."""
        return strict_jpeg(self._data, self._size, room, self._matrix)


def strict_jpeg(data: bytes, size: tuple[int, int], room: "Frame | None" = None, matrix: Matrix = UPRIGHT) -> Frame:
    """Decode one Motion JPEG picture of this (height, width). Raises DataError if it is damaged or of another size."""
    from edge.pictures.jpeg import decode_jpeg

    fits = room is not None and matrix == UPRIGHT and room.shape == (*size, 3)
    pixels = decode_jpeg(data, room if fits else None)
    if pixels.shape[:2] != size:
        height, width = pixels.shape[:2]
        raise DataError(f"the JPEG has {width}×{height} pixels, the video {size[1]}×{size[0]}")
    return upright(pixels, matrix, room)


def pictures(frames: Iterator[Coded], video: "VideoStream") -> Iterator[Picture]:
    """The pictures of a video in display order, one per shown frame."""
    decoder = _JpegDecoder(video) if video.codec_context.name == "mjpeg" else _Decoder(video)
    for frame in frames:
        yield from decoder.decode(frame)
    yield from decoder.flush()


class _JpegDecoder:
    """Strict decoding. FFmpeg only determines the orientation of the first picture, which applies to all."""

    def __init__(self, video: "VideoStream") -> None:
        self._context = video.codec_context
        self._size = (self._context.height, self._context.width)
        self._matrix: Matrix | None = None

    def decode(self, coded: Coded) -> Iterator[Picture]:
        """The picture of this frame; nothing if the frame is not shown."""
        if coded.is_shown:
            yield self._picture(coded)

    def flush(self) -> Iterator[Picture]:
        """Nothing: this decoder holds no pictures back."""
        return iter(())

    def _picture(self, coded: Coded) -> Picture:
        import av.error

        if coded.packet is None or not coded.is_sound:
            return Picture(MISSING if coded.packet is None or not coded.packet.size else DAMAGED)
        if self._matrix is None:
            try:
                frame = next(iter(self._context.decode(coded.packet)), None)
                if frame is not None:
                    self._matrix = matrix_of(frame) or matrix_of_jpeg(bytes(coded.packet))
            except (av.error.FFmpegError, DataError):
                return Picture(DAMAGED)
        if self._matrix is None:
            return Picture(DAMAGED)
        return Jpeg(bytes(coded.packet), self._size, self._matrix)


class _Number(int):
    """Number of a packet. PyAV distinguishes opaque values by identity, and equal small integers are one object."""


class _Decoder:
    """Numbers the packets, so that each decoded frame can be matched with its packet."""

    def __init__(self, video: "VideoStream") -> None:
        from av.codec.context import Flags

        context = video.codec_context
        context.options = {**context.options, **CHECKS}
        context.copy_opaque = True
        context.thread_type = "SLICE"  # with frame threads, errors are reported late
        context.flags |= Flags.output_corrupt
        self._context = context
        self._most_reordered = MOST_REORDERED if video.codec.reorder else 0
        self._count = 0
        self._waiting: dict[int, bool] = {}  # packets without their frame so far: whether the file lacks the frame
        self._damaged_from: int | None = 0  # until the first key frame
        self._damaged_to = -1

    def decode(self, coded: Coded) -> Iterator[Picture]:
        """The pictures that are complete after this packet."""
        number, self._count = self._count, self._count + 1
        if coded.is_shown:
            self._waiting[number] = coded.packet is None or not coded.packet.size
        if not coded.is_sound:
            self._damage(number)
        if coded.packet is None or not coded.packet.size:
            return iter(())
        coded.packet.opaque = _Number(number)
        return self._given(coded.packet, number)

    def flush(self) -> Iterator[Picture]:
        """The pictures that were held back, and those that were never decoded."""
        yield from self._given(None, self._count - 1)
        yield from self._lost(self._count)

    def _given(self, packet: "Packet[VideoStream] | None", number: int) -> Iterator[Picture]:
        import av.error

        errors_before = logged_errors()
        try:
            frames = self._context.decode(packet)
        except av.error.FFmpegError:
            self._damage(number)
            return
        if logged_errors() > errors_before:
            self._damage(number)
        for frame in frames:
            if frame.opaque in self._waiting:
                yield from self._shown(frame, frame.opaque)
            elif frame.opaque is None:  # FFmpeg made the frame up in place of a missing one
                self._damage(number)

    def _shown(self, frame: "VideoFrame", number: int) -> Iterator[Picture]:
        """This frame, after the pictures that come before it and were never decoded."""
        yield from self._lost(number if frame.key_frame else number - self._most_reordered)
        self._waiting.pop(number)
        if frame.is_corrupt:
            self._damage(number)
        if frame.key_frame and number > self._damaged_to:
            self._damaged_from = None
        is_damaged = self._damaged_from is not None and number >= self._damaged_from
        yield Picture(DAMAGED) if is_damaged else Picture(shown=frame)

    def _lost(self, before: int) -> Iterator[Picture]:
        """Faults for the packets before `before` without a decoded frame, which will not come any more."""
        for number in [number for number in self._waiting if number < before]:
            is_missing = self._waiting.pop(number)
            self._damage(number)
            yield Picture(MISSING if is_missing else DAMAGED)

    def _damage(self, number: int) -> None:
        """Mark the frame of this packet as damaged, and with it the frames that depend on it."""
        self._damaged_from = number if self._damaged_from is None else min(number, self._damaged_from)
        self._damaged_to = max(number, self._damaged_to)
