"""Sources of frames: one file per kind of source; `base` holds what the kinds share, `registry` picks one by name.

A source is named by a word or a URL: `demo`, `belt`, `camera0`, `/dev/v4l/by-id/…`, `genicam:SERIAL`, `rtsp://…`,
`line.mp4`, `photos/`.
"""

from edge.frame import Frame
from edge.sources.base import (
    BeltSettings,
    CameraSettings,
    Capture,
    ExposureSettings,
    Mark,
    Rate,
    Shown,
    Source,
    SourceRequest,
    SourceSettings,
)
from edge.sources.registry import ListedKind, kind_of, known_size, list_sources, open_source

__all__ = [
    "BeltSettings",
    "CameraSettings",
    "Capture",
    "ExposureSettings",
    "Frame",
    "ListedKind",
    "Mark",
    "Rate",
    "Shown",
    "Source",
    "SourceRequest",
    "SourceSettings",
    "kind_of",
    "known_size",
    "list_sources",
    "open_source",
]
