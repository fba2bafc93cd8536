"""With which exposure settings the frames of a camera were exposed."""

from collections import deque

from edge.sources import ExposureSettings

REMEMBERED = 32
"""Changes that are remembered; no frame waits that long."""


class ExposureTimeline:
    """Knows for each moment the settings of a frame that arrived then; None where it may have been either."""

    def __init__(self) -> None:
        """Nothing is known of any frame."""
        self._since: deque[tuple[int, ExposureSettings | None]] = deque(maxlen=REMEMBERED)

    def begin(self, exposure: ExposureSettings | None, since_ns: int) -> None:
        """A camera was opened with these settings: every frame of it, which comes later, is exposed so."""
        self._since.append((since_ns, exposure))

    def leave(self, since_ns: int) -> None:
        """The settings are being changed, or the camera is lost."""
        self._since.append((since_ns, None))

    def settle(self, exposure: ExposureSettings, since_ns: int) -> None:
        """Frames that arrive from `since_ns` on are exposed so."""
        self._since.append((since_ns, exposure))

    def at(self, captured_ns: int) -> ExposureSettings | None:
        """The settings of a frame that arrived at `captured_ns`; None if they are not known for certain."""
        return next((exposure for since_ns, exposure in reversed(self._since) if since_ns <= captured_ns), None)
