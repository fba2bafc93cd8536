"""The envelope: the range of brightness and sharpness of a line's frames, learned at commissioning."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from edge.pictures.blank import Sampled

SLACK = 0.25
"""Tolerance around the values seen at commissioning, as a fraction of their range and of their mean."""


class Envelope(BaseModel):
    """The range of brightness and sharpness of this line's frames, or of those of one product."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frames: int = Field(ge=1, description="frames it was learned from")
    brightness: tuple[float, float] = Field(description="lowest and highest that pass, 0 to 255")
    sharpness: tuple[float, float] = Field(description="lowest and highest that pass, mean step between neighbours")

    @classmethod
    def learn(cls, seen: "list[Sampled]") -> "Envelope":
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

    def fault(self, brightness: float, sharpness: float) -> Fault | None:
        """Why a frame with these values is outside; None if it is inside."""
        for reason, value, (low, high) in (
            (Reason.BRIGHTNESS, brightness, self.brightness),
            (Reason.SHARPNESS, sharpness, self.sharpness),
        ):
            if not low <= value <= high:
                return Fault(reason, f"it is {value:.1f}, at commissioning it was {low:.1f} to {high:.1f}")
        return None


def _with_slack(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    slack = SLACK * max(high - low, (high + low) / 2)
    return max(0.0, low - slack), high + slack
