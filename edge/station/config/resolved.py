"""The configuration of a station, resolved from its settings."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from edge.letterbox.contract import RegionOfInterest
from edge.machine import user_folder
from edge.presence import Presence
from edge.sources import ExposureSettings, SourceSettings
from edge.sources.address import redacted
from edge.station.codes.contract import CodeFormat


class Product(NamedTuple):
    """A product of the line: its name, the number that a PLC gives, its bundle, the budget of its parts, the file with
    the envelope of its live frames, and how the camera exposes them; None: as for all other parts.
    """

    name: str
    number: int | None
    bundle: Path
    budget_ms: float
    envelope: Path | None = None
    exposure: ExposureSettings | None = None


@dataclass(frozen=True)
class StationConfig(SourceSettings):
    """The configuration of one camera, bundle and verdict channel: the keys described in `Settings`, as a station uses
    them.

    `bundle` is that of the first of the `products`, if there are any.

    Differences from `Settings`: `policy` None depends on the source ("latest" for cameras, "every" for all others).
    `simulated` marks every verdict as simulated, whatever bundle and source declare. `required` is the key `require`,
    `regions` the key `region`. `control` and `viewers` None are the ports next to `bind`. `records` None: no records
    are kept. `keep_bytes` and `keep_journal_bytes` are `keep_gib` and `keep_journal_gib` in bytes. `size` is (height,
    width).
    """

    bundle: Path
    products: tuple[Product, ...]
    candidates: Path | None
    promote_after: int
    promote_flips: int
    challenge: Path | None
    challenge_minutes: float
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
    drift_hours: float
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
    keep_journal_bytes: int
    keep_verdicts_days: float | None
    metrics: str | None
    stale_ms: float
    envelope: Path | None
    regions: tuple[RegionOfInterest, ...]
    resume_frames: int
    presence: Presence
    read_code: str | None
    code_formats: tuple[CodeFormat, ...]
    code_region: RegionOfInterest | None
    code_pattern: str | None

    @property
    def source_name(self) -> str:
        """The source without passwords in its address, for display, verdicts and records."""
        return redacted(self.source)


def default_records(station: str) -> Path:
    """Default folder of a station's records: below `EDGE_RECORDS`, else below the user's state folder.

    Raises ConfigError if the user has no state folder.
    """
    if named := os.environ.get("EDGE_RECORDS"):
        return Path(named) / station
    return user_folder("XDG_STATE_HOME", ".local/state") / "edge-inspect" / "records" / station
