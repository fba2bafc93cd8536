"""The packets of a video file, with their integrity as far as it is known before decoding: which packets are damaged,
and where packets are missing.

The contents are compared with what the container promises. MP4, MOV and AVI count their frames. At a constant frame
rate, a gap of time stamps shows the number of missing frames. AVI's chunks follow each other without gaps.
"""

import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge.sources.ffmpeg_log import logged_errors

if TYPE_CHECKING:
    from av import Packet, VideoStream
    from av.container import InputContainer

ZEROS = bytes(16)
"""The codecs of DENSE never write so many zero bytes in a row: they mark a part of the file never written."""

DENSE = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "av1", "libdav1d"})

TIMED = "matroska"
"""FFmpeg's name of the container that does not count its frames but states when the last one ends."""

TS_PACKETS = 188, 192, 204
"""Sizes of a transport stream's packet, bytes: plain; with a time stamp, as on cameras and discs; with a checksum."""

MISSING = "the frame is missing from the file"
DAMAGED = "the frame is damaged, or one that it builds on"


class Coded:
    """One frame of the container. `packet` is None if the frame is missing. `is_shown` False: other frames depend on
    this frame, but no player shows it.
    """

    __slots__ = ("is_shown", "is_sound", "packet")

    def __init__(self, packet: "Packet[VideoStream] | None", is_sound: bool = True, is_shown: bool = True) -> None:
        self.packet = packet
        self.is_sound = is_sound and packet is not None
        self.is_shown = is_shown


def coded_frames(container: "InputContainer", video: "VideoStream", path: str) -> Iterator[Coded]:
    """Every frame that the container promises, in decoding order, including missing ones."""
    import av.error

    neighbours = 0 if video.codec.intra_only else 1 + (video.codec_context.reorder_depth if video.codec.reorder else 0)
    held: deque[Coded] = deque()  # the frames to which a loss detected later may still belong
    gaps, was_corrupt = _Gaps(container, video, path), False
    try:
        for packet, is_read_well in _read(container, video):
            missing, is_whole = gaps.before(packet)
            is_sound = _is_sound(packet, video.codec.name) and not (was_corrupt and neighbours)
            held.extend(Coded(None) for _ in range(missing))
            held.append(Coded(packet, is_sound, _is_shown(packet, video.codec.name)))
            is_whole &= is_read_well
            if missing or not is_whole or packet.is_corrupt:  # the damage may belong to one of the earlier frames
                for earlier in list(held)[-1 - missing - max(neighbours, not is_whole) : -1]:
                    earlier.is_sound = False
            was_corrupt = packet.is_corrupt
            while len(held) > max(1, neighbours):
                yield held.popleft()
    except av.error.FFmpegError:
        gaps.is_cut_off = True
    missing = gaps.at_the_end()
    for last in held:
        last.is_sound &= not missing and not gaps.is_torn
    yield from held
    yield from (Coded(None) for _ in range(missing))


def _read(container: "InputContainer", video: "VideoStream") -> "Iterator[tuple[Packet[VideoStream], bool]]":
    """The packets to the end of the file, each with whether FFmpeg logged no error while reading it."""
    errors_before = logged_errors()
    for packet in container.demux(video):
        if packet.size == 0 and packet.pts is None and packet.dts is None:
            return  # the end
        yield packet, logged_errors() == errors_before
        errors_before = logged_errors()


def _is_sound(packet: "Packet[VideoStream]", codec: str) -> bool:
    return packet.size > 0 and not packet.is_corrupt and not (codec in DENSE and ZEROS in bytes(packet))


def _is_shown(packet: "Packet[VideoStream]", codec: str) -> bool:
    """False for frames cut off by an edit list, and for VP8's frames for reference only: RFC 6386, section 9.1."""
    is_hidden = codec == "vp8" and packet.size > 0 and not memoryview(packet)[0] & 0x10
    return not packet.is_discard and not is_hidden


class _Gaps:
    """Compares the container's promises with the packets that follow."""

    def __init__(self, container: "InputContainer", video: "VideoStream", path: str) -> None:
        self.is_cut_off = False
        self._container, self._video = container, video
        self._count = self._hidden = 0
        self._last_dts: int | None = None
        self._last_pts: int | None = None
        kind = container.format.name
        size = Path(path).stat().st_size
        # A transport stream that ends within a packet: the last frame is truncated.
        self.is_torn = kind == "mpegts" and all(size % length for length in TS_PACKETS)
        self._chunks = _Chunks(path) if kind == "avi" else None
        self._interval = None if video.frames or self._chunks else _interval(video)

    def before(self, packet: "Packet[VideoStream]") -> tuple[int, bool]:
        """The number of frames missing before this packet, and whether the file is otherwise intact since the last."""
        missing, is_whole = 0, True
        if self._chunks is not None:
            missing, is_whole = self._chunks.passed_over(packet)
        elif self._interval is not None and packet.dts is not None:
            if self._last_dts is not None:
                missing = max(0, round((packet.dts - self._last_dts) / self._interval) - 1)
            self._last_dts = packet.dts
        self._last_pts = max(self._last_pts or 0, packet.pts or 0)
        self._count += missing + 1
        self._hidden += packet.is_discard
        return missing, is_whole

    def at_the_end(self) -> int:
        """The number of frames missing after the last packet; at least one if the file is not readable to its end."""
        promised = promised_frames(self._video)
        missing = 0
        if promised is not None:
            missing = promised - (self._count - self._hidden)
        elif self._interval is not None and (end := _promised_end(self._container, self._video)) is not None:
            next_pts = 0 if self._last_pts is None else self._last_pts + self._interval
            missing = round((end - next_pts) / self._interval)
        return max(missing, int(self.is_cut_off))


def promised_frames(video: "VideoStream") -> int | None:
    """The container's frame count, without frames cut off by its edit list; None if it has no count."""
    entries = video.index_entries
    if video.container.format.name == "avi":
        return video.frames or None
    if "mp4" not in video.container.format.name or not len(entries):
        return None
    return max(video.frames, len(entries)) - sum(entry.is_discard for entry in entries)


def estimated_frames(container: "InputContainer", video: "VideoStream") -> int | None:
    """The number of frames, computed from a constant rate and the container's duration; None if either is unknown."""
    interval, end = _interval(video), _promised_end(container, video)
    if interval is None or end is None:
        return None
    return round((end - (video.start_time or 0)) / interval)


def _interval(video: "VideoStream") -> float | None:
    """Ticks between frames; None if the frame rate is not constant, as in screen recordings."""
    rate = video.average_rate
    if not rate or not video.base_rate or abs(float(video.base_rate / rate) - 1) > 0.01 or video.time_base is None:
        return None
    return float(1 / rate / video.time_base)


def _promised_end(container: "InputContainer", video: "VideoStream") -> float | None:
    """The end of the last frame according to the container, in ticks of the stream; None if it states none."""
    if not container.format.name.startswith(TIMED) or video.time_base is None:
        return None
    reported = video.metadata.get("DURATION")  # HH:MM:SS.fraction, as muxers of Matroska write it for each stream
    if reported is not None:
        try:
            hours, minutes, seconds = map(float, reported.split(":"))
        except ValueError:
            return None
        return float((3600 * hours + 60 * minutes + seconds) / video.time_base)
    if container.duration is None or len(container.streams) != 1:
        return None
    return float(container.duration / 1_000_000 / video.time_base)


class _Chunks:
    """The chunks of an AVI, which follow each other without gaps: Microsoft, AVI RIFF File Reference."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._end: int | None = None  # offset after the last packet's chunk

    def passed_over(self, packet: "Packet[VideoStream]") -> tuple[int, bool]:
        """The number of empty chunks of this stream between the last packet and this one, and whether everything else
        in between consists of chunks.
        """
        if packet.pos is None:
            return 0, True
        at, empty, own = self._end, 0, f"{packet.stream_index:02d}".encode()
        start = packet.pos - 8
        self._end = packet.pos + packet.size + packet.size % 2
        if at is None or at == start:
            return 0, True
        with self._path.open("rb", buffering=256) as file:
            while at < start:
                file.seek(at)
                header = file.read(8)
                if len(header) < 8:
                    return empty, False
                name, size = struct.unpack("<4sI", header)
                empty += name[:2] == own and name[2:] in (b"dc", b"db") and size == 0
                at += 12 if name in (b"LIST", b"RIFF") else 8 + size + size % 2
        return empty, at == start
