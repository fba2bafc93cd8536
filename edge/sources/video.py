"""Source `line.mp4`: a video file, every frame in order. Damaged or missing frames are captures with a fault.

Containers have no checksum, nor have most codecs (FFV1 has): some changed bytes decode to different pixels without an
error.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import DataError, SourceError
from edge.sources.base import Capture, Kind, Source, SourceRequest
from edge.sources.decoding import Picture, check_decoder, missing, pictures
from edge.sources.packets import coded_frames, estimated_frames, promised_frames
from edge.sources.stored import paced, wanted
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer

SIZE_SEARCH_FRAMES = 250
"""Number of frames in which an intact one is searched, whose size is that of all frames."""

ACCOUNTED = ("mp4", "avi", "matroska", "mpegts")
"""Formats, by FFmpeg's names, in which a loss is detectable. Other formats neither count their frames nor have time
stamps, or FFmpeg skips their gaps. In a transport stream, a lost tail is not detectable.
"""


def claims(name: str) -> bool:
    """Whether `name` is a file. Kinds asked earlier claim pictures; opening the file shows whether it is a video."""
    return Path(name).is_file()


class VideoSource(Source):
    """The frames of a file that FFmpeg opens.

    `length` is the container's frame count or computed from its duration, None if it states neither.
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
        """One capture per frame, in order, from `start` on; with `loop` the first frame follows the last."""
        return paced(self._captures(), self.rate)

    def close(self) -> None:
        """Close the file; a running iterator ends."""
        self._is_closed = True

    def _captures(self) -> Iterator[Capture]:
        """Frames before `start` are read and dropped: in some containers, seeking finds key frames only."""
        start, limit = self._request.start, self._request.limit
        for index, picture in enumerate(islice(self._pictures(), limit)):
            if self._is_closed:
                return
            if index >= start:
                yield self._capture(index, picture)

    def _pictures(self) -> Iterator[Picture]:
        """The pictures of the file, in a loop with `loop`."""
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
        """(height, width) of the first intact frame, else of the container. Raises SourceError if it has neither."""
        found = 0
        for picture in islice(self._once(container), SIZE_SEARCH_FRAMES):
            found += 1
            try:
                frame = picture.pixels(16, None)
            except DataError:
                continue
            return frame.shape[0], frame.shape[1]
        height, width = video.codec_context.height, video.codec_context.width
        if not found or not height or not width:
            raise SourceError(_no_video(self.name))
        return height, width


def open(request: SourceRequest) -> VideoSource:
    """Open a video file. Raises SourceError if it is not a video or has no frames."""
    check_decoder(request.name)
    return VideoSource(request)


def _open_video(path: str) -> "InputContainer":
    """Open the container. Raises SourceError if there is no video in the file."""
    import av
    import av.error
    from av.stream import Disposition

    try:
        container = av.open(path)
    except (av.error.FFmpegError, ValueError):  # FFmpeg's message repeats the file name
        raise SourceError(_cut_off(path) or _no_video(path)) from None
    if not container.streams.video or container.streams.video[0].codec_context is None:  # None is not in PyAV's stubs
        container.close()
        raise SourceError(_no_video(path))
    if not any(known in container.format.name.split(",") for known in ACCOUNTED):
        container.close()
        raise SourceError(f"{path}: what is missing from a file of this format is not seen; record into an mp4 or mkv")
    if len([one for one in container.streams.video if not one.disposition & Disposition.attached_pic]) > 1:
        container.close()
        raise SourceError(
            f"{path}: several videos in one file, and only one can be judged; give each a file of its own"
        )
    return container


def _no_video(path: str) -> str:
    return f"{path}: no video, or one without frames; give an mp4, mkv, mov or avi"


def _cut_off(path: str) -> str | None:
    """A message for an MP4 or MOV that begins correctly and cannot be opened; None for another file."""
    with Path(path).open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return None
    return (
        f"{path}: no index can be read in it, as where a recording was cut off before the index was written; record "
        "into an mkv or a fragmented mp4, which can be read up to where it was cut"
    )


KIND = Kind(
    claims,
    open,
    ("line.mp4", "line.avi", "line.mkv"),
    "a video file, each frame in order, through PyAV",
    missing=missing,
    has_own_size=True,
)
