"""Stored pictures as JPEGs for browsers: scaled down, checked against their SHA-256, a few in memory."""

import threading
from collections import OrderedDict
from io import BytesIO
from pathlib import Path

from edge.errors import RecordsError
from edge.page.record_view import RecordView
from edge.records.part_history import story_of
from edge.records.part_image import PartImage, read_image

WIDTHS = (320, 960, 1920)
"""Longer sides that a browser may ask for, pixels."""

QUALITY = 85
MOST_KEPT_BYTES = 32 << 20


class Pictures:
    """Makes JPEGs of stored pictures, one at a time: it takes processor time from nobody else for long."""

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self._kept: OrderedDict[tuple[Path, str, str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def jpeg(self, view: RecordView, epoch: str, seq: int, width: int) -> bytes:
        """The picture of a verdict, its longer side at most `width` pixels. Raises RecordsError if there is none."""
        image = story_of(view.folder, epoch, seq).image
        if image.path is None:
            raise RecordsError(image.why)
        key = (view.folder, image.path, image.sha256, width)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._turn:
            jpeg = _jpeg(view.folder, image, width)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = jpeg
                self._bytes += len(jpeg)
            while self._bytes > MOST_KEPT_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return jpeg


def _jpeg(folder: Path, image: PartImage, width: int) -> bytes:
    from PIL import Image

    frame = read_image(folder, image)
    picture = Image.fromarray(frame[:, :, ::-1] if frame.ndim == 3 else frame)
    picture.thumbnail((width, width), Image.Resampling.BOX)
    file = BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
