"""The damaged formats: each encodes the frames of a few parts into a file, and states whether its pixels have a
checksum.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.frame import Frame

VIDEO_FRAMES = 8
"""Frames of a damaged video."""


@dataclass(frozen=True)
class Format:
    """`encode` returns the content of one file of `frames` frames. `has_checksum` says that damage to pixels is
    detectable, `counts` that the container states the number of its frames.
    """

    name: str
    suffix: str
    frames: int
    has_checksum: bool
    encode: Callable[[Sequence[Frame]], bytes]
    counts: bool = True


def _picture(suffix: str, *parameters: int, deep: bool = False) -> Callable[[Sequence[Frame]], bytes]:
    def encode(frames: Sequence[Frame]) -> bytes:
        pixels: npt.NDArray[Any] = frames[0].astype(np.uint16) * 257 if deep else frames[0]
        done, data = cv2.imencode(suffix, pixels, parameters)
        assert done
        return data.tobytes()

    return encode


def _video(container: str, codec: str, pixels: str, **options: str) -> Callable[[Sequence[Frame]], bytes]:
    def encode(frames: Sequence[Frame]) -> bytes:
        import av

        file = io.BytesIO()
        with av.open(file, "w", format=container) as video:
            stream: Any = video.add_stream(codec, rate=25, options=options)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pixels
            for frame in frames:
                video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
            video.mux(stream.encode())
        return file.getvalue()

    return encode


def _mjpeg_avi(frames: Sequence[Frame]) -> bytes:
    """MJPEG as OpenCV writes it, like most webcam recorders."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.avi"
        height, width = frames[0].shape[:2]
        video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
        for frame in frames:
            video.write(frame)
        video.release()
        return path.read_bytes()


FORMATS = (
    Format("JPEG", ".jpg", 1, False, _picture(".jpg", cv2.IMWRITE_JPEG_QUALITY, 90)),
    Format("JPEG, progressive", ".jpg", 1, False, _picture(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    Format("PNG", ".png", 1, True, _picture(".png")),
    Format("PNG, 16 bits", ".png", 1, True, _picture(".png", deep=True)),
    Format("TIFF, Deflate", ".tif", 1, True, _picture(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 8)),
    Format("TIFF, LZW", ".tif", 1, False, _picture(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 5)),
    Format("TIFF, uncompressed", ".tif", 1, False, _picture(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 1)),
    Format("WebP, lossy", ".webp", 1, False, _picture(".webp", cv2.IMWRITE_WEBP_QUALITY, 90)),
    Format("WebP, lossless", ".webp", 1, False, _picture(".webp", cv2.IMWRITE_WEBP_QUALITY, 101)),
    Format("BMP", ".bmp", 1, False, _picture(".bmp")),
    Format("MJPEG in AVI", ".avi", VIDEO_FRAMES, False, _mjpeg_avi),
    Format("H.264 in MP4", ".mp4", VIDEO_FRAMES, False, _video("mp4", "libx264", "yuv420p", g="4")),
    Format("H.264 in MPEG-TS", ".ts", VIDEO_FRAMES, False, _video("mpegts", "libx264", "yuv420p", g="4"), counts=False),
    Format("FFV1 in Matroska", ".mkv", VIDEO_FRAMES, True, _video("matroska", "ffv1", "bgr0", level="3", slicecrc="1")),
)  # fmt: skip
