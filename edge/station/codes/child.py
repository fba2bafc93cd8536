"""The code reader child: looks for machine-readable codes in frames of the ring, beside the station's hot path."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge.station.codes.contract import Answer, CodeFormat, CodeOutcome, Wanted
from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import Failed, Looked, LookForCode, ReaderReady
from edge.station.process.ring import Attached
from edge.verdict import LONGEST_FIELD

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NICENESS = 5
"""Niceness of the process: on a machine without a free core the model comes first."""

ZXING: dict[CodeFormat, str] = {
    "datamatrix": "DataMatrix", "qr": "QRCode", "microqr": "MicroQRCode", "aztec": "Aztec", "pdf417": "PDF417",
    "code128": "Code128", "code39": "Code39", "code93": "Code93", "itf": "ITF", "codabar": "Codabar", "ean": "EANUPC",
    "databar": "DataBar",
}  # fmt: skip
"""The formats by zxing-cpp's names."""


def run_code_reader(connection: MessageSocket, wanted: Wanted) -> None:
    """Main function of the code reader child; returns after `Stop`."""
    try:
        reader = Reader(wanted)
    except (ImportError, AttributeError) as error:
        connection.send(Failed(f"zxing-cpp cannot be used: {error}"))
        return
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    ring = Attached()
    connection.send(ReaderReady())
    while isinstance(order := connection.recv(), LookForCode):
        try:
            stacked = ring.frame(order.memory, order.frames * order.height, order.width)
            frames = [stacked[n * order.height : (n + 1) * order.height] for n in range(order.frames)]
            outcome, text = reader.look(frames)
            connection.send(Looked(order.seq, outcome, text))
        except RegionError as error:
            connection.send(Looked(order.seq, CodeOutcome.FAILED, why=str(error)))
        except Exception as error:  # of the frame or of the library; the next frame may be readable
            why = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
            connection.send(Looked(order.seq, CodeOutcome.FAILED, why=why))


class RegionError(Exception):
    """A frame that is smaller than the region to read; frames of a folder may differ in size."""


class Reader:
    """Finds the code that is wanted."""

    def __init__(self, wanted: Wanted) -> None:
        """Raises ImportError or AttributeError if zxing-cpp is not installed or lacks a format."""
        import numpy as np
        import zxingcpp

        self._read = zxingcpp.read_barcodes
        self._formats = zxingcpp.BarcodeFormats(
            [getattr(zxingcpp.BarcodeFormat, ZXING[name]) for name in wanted.formats]
        )
        self._of_text = (zxingcpp.ContentType.Text, zxingcpp.ContentType.GS1, zxingcpp.ContentType.ISO15434)
        self._region = wanted.region
        self._pattern = None if wanted.pattern is None else re.compile(wanted.pattern)
        self._read(np.zeros((64, 64, 3), np.uint8), formats=self._formats)  # the first call takes longer

    def look(self, frames: "list[npt.NDArray[np.uint8]]") -> tuple[Answer, str | None]:
        """The outcome and, if a code was read, its text. The first of the `frames`, `uint8 [height, width, 3]` in BGR,
        that shows a wanted code decides.

        Codes with the same text count as one. With different texts the outcome is `several`: which of them belongs to
        the part is unknown. A text that is binary, not printable, empty or longer than LONGEST_FIELD is unfit.
        """
        for frame in frames:
            texts = {code.text: code for code in self._wanted(frame)}
            if len(texts) > 1:
                return CodeOutcome.SEVERAL, None
            for text, code in texts.items():
                is_fit = code.content_type in self._of_text and text.isprintable() and 0 < len(text) <= LONGEST_FIELD
                return (CodeOutcome.READ, text) if is_fit else (CodeOutcome.UNFIT, None)
        return CodeOutcome.NONE, None

    def _wanted(self, frame: "npt.NDArray[np.uint8]") -> Iterator[Any]:
        r = self._region
        if r is not None:
            if r.bottom > frame.shape[0] or r.right > frame.shape[1]:
                ends = f"--code-region ends at column {r.right}, row {r.bottom}"
                raise RegionError(f"{ends}, and the frame is {frame.shape[1]}×{frame.shape[0]}; move it inside")
            frame = frame[r.top : r.bottom, r.left : r.right]
        for code in self._read(frame, formats=self._formats):
            if self._pattern is None or self._pattern.fullmatch(code.text):
                yield code
