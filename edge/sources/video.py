"""Source `line.mp4`: a video file, every frame in order."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import SourceError
from edge.quiet import quietly
from edge.sources import Capture, Frame, SourceRequest
from edge.sources.stored import paced, wanted

if TYPE_CHECKING:
    import cv2


def claims(name: str) -> bool:
    """Whether `name` is a file. Pictures are claimed before; whether it is a video shows when it is opened."""
    return Path(name).is_file()


def available() -> list[tuple[str, str]]:
    """Videos are not looked for."""
    return []


class VideoSource:
    """The frames of a file that OpenCV opens. `length` is what the container says, None if it says nothing."""

    simulated = False
    free_running = False
    device = False

    def __init__(self, request: SourceRequest) -> None:
        self.name = request.name
        self._video = _open_video(request.name)
        first = _retrieve(self._video, 0) if self._video.grab() else None
        if first is None or first.frame is None:
            self.close()
            raise SourceError(f"{request.name}: no video, or one without frames; give an mp4, mkv, mov or avi")
        self._wanted = wanted(request, _frame_count(self._video), _own_rate(self._video))
        self.rate = self._wanted.rate
        self._request = request
        self._is_closed = False
        self.room: Frame | None = None
        self.shape: tuple[int, int] | None = (first.frame.shape[0], first.frame.shape[1])
        self.length = self._wanted.length
        self.live = request.rate is not None

    def captures(self) -> Iterator[Capture]:
        """One capture a frame, in order, from `start` on; with `loop` the first frame follows the last."""
        return paced(self._frames(), self.rate)

    def close(self) -> None:
        """Close the file; a running iterator ends."""
        self._is_closed = True
        self._video.release()

    def _frames(self) -> Iterator[Capture]:
        """Frames before `start` are read and dropped: in some containers, seeking lands on key frames only."""
        start, limit = self._request.start, self._request.limit
        for index in self._grabbed():
            if limit is not None and index >= limit:
                return
            if index >= start:
                yield _retrieve(self._video, index, self.room)

    def _grabbed(self) -> Iterator[int]:
        """Grab frame after frame from the first on, counting them through all rounds of a loop."""
        index = 0
        while not self._is_closed:
            self._video.release()
            self._video = _open_video(self.name)
            first = index
            while self._video.grab():
                yield index
                index += 1
            if not self._request.loop or index == first:
                return


def open(request: SourceRequest) -> VideoSource:
    """Open a video file. Raises SourceError if it is none or has no frames."""
    return VideoSource(request)


def _open_video(path: str) -> "cv2.VideoCapture":
    """The file, not turned by its orientation tag: pixels as the camera delivered them."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read when FFmpeg is first used
    import cv2

    video, _ = quietly(lambda: cv2.VideoCapture(path))
    video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    return video


def _frame_count(video: "cv2.VideoCapture") -> int | None:
    import cv2

    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


def _own_rate(video: "cv2.VideoCapture") -> float | None:
    """Frames a second, as the container says; None if it says nothing."""
    import cv2

    rate = float(video.get(cv2.CAP_PROP_FPS))
    return rate if 0 < rate < float("inf") else None


def _retrieve(video: "cv2.VideoCapture", index: int, room: "Frame | None" = None) -> Capture:
    import numpy as np

    is_decoded, frame = video.retrieve(room)
    if not is_decoded:
        return Capture(index, f"frame {index}", None, fault="corrupt: the video's frame does not decode")
    return Capture(index, f"frame {index}", np.ascontiguousarray(frame, np.uint8))
