"""What a station was asked to do."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.letterbox.contract import RegionOfInterest
from edge.machine import user_folder
from edge.presence import Presence
from edge.sources import SourceSettings
from edge.sources.address import redacted


@dataclass(frozen=True)
class StationConfig(SourceSettings):
    """One camera, one bundle, one verdict channel: the keys that `Settings` describes, as a station uses them.

    What differs: `policy` None picks by source ("latest" for cameras, "every" for all else). `simulated` marks every
    verdict so, whatever bundle and source say of themselves. `required` is the key `require`, `regions` the key
    `region`. `control` and `viewers` None are beside `bind`. `records` None: no record is kept. `keep_bytes` is
    `keep_gib` in bytes. `size` is (height, width).
    """

    bundle: Path
    source: str
    station: str
    bind: str
    backend: str
    threads: int | None
    spinning: bool
    keep_warm: bool
    streams: int
    policy: Literal["every", "latest"] | None
    budget_ms: float
    wait_subscribers: int
    simulated: bool
    trust: tuple[Path, ...]
    trigger: Literal["free", "external", "presence"]
    control: str | None
    viewers: str | None
    required: tuple[str, ...]
    keys: Path | None
    records: Path | None
    keep_goods: int
    keep_bytes: int
    keep_days: float | None
    metrics: str | None
    stale_ms: float
    envelope: Path | None
    regions: tuple[RegionOfInterest, ...]
    resume_frames: int
    presence: Presence

    @property
    def source_name(self) -> str:
        """The source as it may be shown, published and stored: an address may hold a password."""
        return redacted(self.source)


def default_records(station: str) -> Path:
    """Where a station keeps its records unless it is told: below `EDGE_RECORDS`, else the user's folder of states.

    Raises ConfigError if there is none.
    """
    if named := os.environ.get("EDGE_RECORDS"):
        return Path(named) / station
    return user_folder("XDG_STATE_HOME", ".local/state") / "edge-inspect" / "records" / station
