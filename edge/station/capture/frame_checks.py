"""Frame checks: whether a live frame is a fresh, intact picture of the line. They run before inference.

They read a few rows of each frame. A part whose frame fails is `unknown` with the reason, and never has a score.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError
from edge.pictures.blank import Sampled, blank_fault_of, sample
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from edge.sources import Capture

FROZEN_MS = 800
"""Identical pixels for this long are a frozen picture. A sensor has noise; a video codec may repeat a still scene."""

FROZEN_FRAMES = 3

SLACK = 0.25
"""Tolerance around the values seen at commissioning, as a fraction of their range and of their mean."""


class Envelope(BaseModel):
    """The range of brightness and sharpness of this line's frames, learned at commissioning."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frames: int = Field(ge=1, description="frames it was learned from")
    brightness: tuple[float, float] = Field(description="lowest and highest that pass, 0 to 255")
    sharpness: tuple[float, float] = Field(description="lowest and highest that pass, mean step between neighbours")

    @classmethod
    def learn(cls, seen: list[Sampled]) -> "Envelope":
        """The range of the samples, extended by SLACK on either side."""
        return cls(
            frames=len(seen),
            brightness=_with_slack([one.brightness for one in seen]),
            sharpness=_with_slack([one.sharpness for one in seen]),
        )

    @classmethod
    def read(cls, path: Path) -> "Envelope":
        """Read an envelope. Raises ConfigError if the file does not contain one."""
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
        except (OSError, ValueError, ValidationError) as error:
            remedy = "edge-run --commission 100 writes one"
            raise ConfigError(f"{path}: no envelope of brightness and sharpness; {remedy}") from error

    def write(self, path: Path) -> None:
        """Write the envelope. Raises ConfigError if the file cannot be written."""
        try:
            path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another --envelope") from error


def _with_slack(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    slack = SLACK * max(high - low, (high + low) / 2)
    return max(0.0, low - slack), high + slack


class FrameChecks:
    """The checks of one live source; keeps the state of its last frames."""

    def __init__(self, stale_ms: float, envelope: Envelope | None = None) -> None:
        """A frame older than `stale_ms` when it arrives has waited in a buffer. Without an envelope, brightness and
        sharpness are not checked.
        """
        import cv2  # noqa: F401  imported before the first frame arrives

        self._envelope, self._stale_ms = envelope, stale_ms
        self._counter: int | None = None
        self._checksum: int | None = None
        self._same_since_ns = self._same = 0

    def check(self, capture: "Capture") -> Fault | None:
        """Why this live frame must not be judged; None if every check passes."""
        assert capture.frame is not None
        now = time.monotonic_ns()
        if capture.captured_ns is not None and now - capture.captured_ns > self._stale_ms * 1e6:
            return Fault(Reason.STALE, f"the frame is {(now - capture.captured_ns) / 1e6:.0f} ms old when it comes")
        last, self._counter = self._counter, capture.counter
        if last is not None and capture.counter is not None and capture.counter <= last:
            return Fault(Reason.REPEATED, f"the camera counts {capture.counter} after {last}")
        seen = sample(capture.frame)
        return self._frozen(seen, now) or blank_fault_of(seen) or self._unusual(seen)

    def _frozen(self, seen: Sampled, now: int) -> Fault | None:
        if seen.checksum != self._checksum:
            self._checksum, self._same_since_ns, self._same = seen.checksum, now, 0
            return None
        self._same += 1
        lasts_ms = (now - self._same_since_ns) / 1e6
        if self._same < FROZEN_FRAMES or lasts_ms < FROZEN_MS:
            return None
        return Fault(Reason.FROZEN, f"the same pixels for {lasts_ms:.0f} ms")

    def _unusual(self, seen: Sampled) -> Fault | None:
        if self._envelope is None:
            return None
        for name in ("brightness", "sharpness"):
            (low, high), value = getattr(self._envelope, name), getattr(seen, name)
            if not low <= value <= high:
                return Fault(Reason(name), f"it is {value:.1f}, at commissioning it was {low:.1f} to {high:.1f}")
        return None
