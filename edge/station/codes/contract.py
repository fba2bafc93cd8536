"""What the station's settings, the supervisor and the code reader share: formats, limits and outcomes."""

from enum import StrEnum
from typing import Literal, NamedTuple

from edge.letterbox.contract import RegionOfInterest

CodeFormat = Literal[
    "datamatrix", "qr", "microqr", "aztec", "pdf417", "code128", "code39", "code93", "itf", "codabar", "ean", "databar"
]
"""The formats that can be read. `ean` also covers UPC."""

DEFAULT_FORMATS: tuple[CodeFormat, ...] = ("datamatrix", "qr", "code128")
"""Formats with error correction or a checksum. Every further format takes time on each frame."""

MOST_FRAMES = 2
"""Ring slots that the code reader may hold at a time: one frame that it reads, and the next. The ring has this number
of additional slots, so that a reader that hangs takes none from capture, model and archive.
"""


class CodeOutcome(StrEnum):
    """What became of a frame for the code reader. Each frame that was offered has exactly one outcome."""

    READ = "read"
    LATE = "late"
    NONE = "none"
    SEVERAL = "several"
    UNFIT = "unfit"
    FAILED = "failed"
    DROPPED = "dropped"


Answer = Literal[CodeOutcome.READ, CodeOutcome.NONE, CodeOutcome.SEVERAL, CodeOutcome.UNFIT, CodeOutcome.FAILED]
"""The outcomes of a frame at which the reader has looked."""


class Wanted(NamedTuple):
    """The codes that count: of one of these formats, in this region of the frame, with a text that the regular
    expression matches as a whole. None: the whole frame, any text.
    """

    formats: tuple[CodeFormat, ...]
    region: RegionOfInterest | None
    pattern: str | None
