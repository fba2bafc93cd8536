"""Source `line.mp4`: a video file, every frame in order. Those that are damaged or missing are captures with a fault.

A container has no checksum of its own, nor have most codecs (FFV1 has): of bytes that were changed, some decode to
other pixels without a sign.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import DataError, SourceError
from edge.sources.base import Capture, Kind, Source, SourceRequest
from edge.sources.decoding import Picture, pictures
from edge.sources.packets import coded_frames, estimated_frames, promised_frames
from edge.sources.stored import paced, wanted
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer

LOOKED_AT = 250
"""Frames among which one that is whole is looked for, to know the size of all."""

ACCOUNTED = ("mp4", "avi", "matroska", "mpegts")
"""Formats in which a loss shows, as FFmpeg calls them. Others neither count their frames nor say when they were taken,
or FFmpeg passes over their holes. Of a transport stream, a lost tail does not show.
"""


def claims(name: str) -> bool:
    """Whether `name` is a file. Pictures are claimed before; whether it is a video shows when it is opened."""
    return Path(name).is_file()


def available() -> list[tuple[str, str]]:
    """Videos are not looked for."""
    return []


class VideoSource(Source):
    """The frames of a file that FFmpeg opens.

    `length` is what the container says, counted or from its duration, None if it says nothing.
    """

    decodes = True

    def __init__(self, request: SourceRequest) -> None:
        self.name = request.name
        self._request = request
        self._is_closed = False
        with _open_video(request.name) as container:
            video = container.streams.video[0]
            promised = promised_frames(video)
            total = estimated_frames(container, video) if promised is None else promised
            rate = video.average_rate or video.guessed_rate
            self._wanted = wanted(request, total, None if rate is None else float(rate))
            self.shape = self._size(container, video)
        self.rate = self._wanted.rate
        self.length = self._wanted.length
        self.live = request.rate is not None

    def captures(self) -> Iterator[Capture]:
        """One capture a frame, in order, from `start` on; with `loop` the first frame follows the last."""
        return paced(self._captures(), self.rate)

    def close(self) -> None:
        """Close the file; a running iterator ends."""
        self._is_closed = True

    def _captures(self) -> Iterator[Capture]:
        """Frames before `start` are read and dropped: in some containers, seeking lands on key frames only."""
        start, limit = self._request.start, self._request.limit
        for index, picture in enumerate(islice(self._pictures(), limit)):
            if self._is_closed:
                return
            if index >= start:
                yield self._capture(index, picture)

    def _pictures(self) -> Iterator[Picture]:
        """Those of the file, again and again with `loop`."""
        has_some = True
        while has_some:
            has_some = False
            with _open_video(self.name) as container:
                for picture in self._once(container):
                    has_some = self._request.loop
                    yield picture

    def _once(self, container: "InputContainer") -> Iterator[Picture]:
        video = container.streams.video[0]
        return pictures(coded_frames(container, video, self.name), video)

    def _capture(self, index: int, picture: Picture) -> Capture:
        name = f"frame {index}"
        try:
            return Capture(index, name, picture.pixels(self._request.bits, self.room))
        except DataError as error:
            return Capture(index, name, None, fault=Fault(Reason.CORRUPT, f"{error}"))

    def _size(self, container: "InputContainer", video: "VideoStream") -> tuple[int, int]:
        """(height, width) of the first whole frame, or what the container says. Raises SourceError if it has none."""
        found = 0
        for picture in islice(self._once(container), LOOKED_AT):
            found += 1
            try:
                frame = picture.pixels(16, None)
            except DataError:
                continue
            return frame.shape[0], frame.shape[1]
        height, width = video.codec_context.height, video.codec_context.width
        if not found or not height or not width:
            raise SourceError(_none(self.name))
        return height, width


def open(request: SourceRequest) -> VideoSource:
    """Open a video file. Raises SourceError if it is none or has no frames."""
    return VideoSource(request)


def _open_video(path: str) -> "InputContainer":
    """Raises SourceError if there is no video in the file."""
    import av
    import av.error
    from av.stream import Disposition

    try:
        container = av.open(path)
    except (av.error.FFmpegError, ValueError):  # its own words name the file again
        raise SourceError(_cut_off(path) or _none(path)) from None
    if not container.streams.video or container.streams.video[0].codec_context is None:  # as stubs do not say
        container.close()
        raise SourceError(_none(path))
    if not any(known in container.format.name.split(",") for known in ACCOUNTED):
        container.close()
        raise SourceError(f"{path}: what is missing from a file of this format is not seen; record into an mp4 or mkv")
    if len([one for one in container.streams.video if not one.disposition & Disposition.attached_pic]) > 1:
        container.close()
        raise SourceError(
            f"{path}: several videos in one file, and only one can be judged; give each a file of its own"
        )
    return container


def _none(path: str) -> str:
    return f"{path}: no video, or one without frames; give an mp4, mkv, mov or avi"


def _cut_off(path: str) -> str | None:
    """What is to be said of an MP4 or MOV that begins well and cannot be opened; None of another file."""
    with Path(path).open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return None
    return (
        f"{path}: the recording was cut off before its index was written, so that its frames cannot be found; an mkv "
        "or a fragmented mp4 can be read up to where it was cut"
    )


KIND = Kind(claims, open, available, has_own_size=True)
