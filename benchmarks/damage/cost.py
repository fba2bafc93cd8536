"""The cost of reading pictures with detection of damage, compared with OpenCV, which detects little, in turns."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.damage.formats import FORMATS, Format
from edge.demo.line import DemoLine
from edge.frame import Frame
from edge.pictures import decode_picture
from edge.sources import SourceRequest, open_source

SIZE = (1080, 1920)
MEASURED = ("JPEG", "PNG", "TIFF, Deflate", "MJPEG in AVI", "H.264 in MP4", "FFV1 in Matroska")
PICTURES = 8


def costs(rounds: int) -> dict[str, dict[str, float]]:
    """By format, the median time of a 1920×1080 frame in ms, read by a station's source and by OpenCV."""
    line = DemoLine(size=SIZE)
    parts = [line.render(number).frame for number in range(PICTURES)]
    return {form.name: _cost(form, parts, rounds) for form in FORMATS if form.name in MEASURED}


def _cost(form: Format, parts: list[Frame], rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="damage-") as folder:
        path = Path(folder) / f"file{form.suffix}"
        path.write_bytes(form.encode(parts))
        ours, theirs = _of_picture(path) if form.frames == 1 else _of_video(path)
        times: dict[str, list[float]] = {"ours_ms": [], "opencv_ms": []}
        for _ in range(rounds):
            times["ours_ms"] += ours()
            times["opencv_ms"] += theirs()
    return {name: statistics.median(found) for name, found in times.items()}


Timed = Callable[[], list[float]]
"""Reads all frames of a file; returns the ms of each."""


def _of_picture(path: Path) -> tuple[Timed, Timed]:
    data = path.read_bytes()
    pixels = np.frombuffer(data, np.uint8)
    return lambda: [_ms(lambda: decode_picture(data))], lambda: [_ms(lambda: cv2.imdecode(pixels, cv2.IMREAD_COLOR))]


def _of_video(path: Path) -> tuple[Timed, Timed]:
    def ours() -> list[float]:
        source = open_source(SourceRequest(str(path)))
        found = _intervals(source.captures())
        source.close()
        return found

    def theirs() -> list[float]:
        video = cv2.VideoCapture(str(path))
        found = _intervals(iter(video.read, (False, None)))
        video.release()
        return found

    return ours, theirs


def _intervals(frames: Iterator[Any]) -> list[float]:
    """Intervals between frames in ms, without the first, which includes opening the file."""
    moments = [time.perf_counter() for _ in frames]
    return [(after - before) * 1e3 for before, after in pairwise(moments)]


def _ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3
