"""What a station was asked to do."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge.letterbox.contract import RegionOfInterest
from edge.machine import user_folder
from edge.presence import Presence
from edge.sources import SourceSettings
from edge.sources.address import redacted

VERDICTS = "tcp://127.0.0.1:5570"


@dataclass(frozen=True)
class StationConfig(SourceSettings):
    """One camera, one bundle, one verdict channel.

    `policy` "every" judges each frame in order, "latest" the newest one of a free-running camera; None picks by
    source ("latest" for cameras, "every" for all else).
    `simulated` marks every verdict so, whatever bundle and source say of themselves. `trust` names public key files:
    if there are any, only a bundle that one of these keys signed is run.

    `trigger` "free" makes a part of each frame that the policy takes, "external" of each trigger on the control
    socket, "presence" of each part that passes a free-running camera, found as `presence` says. `control` and
    `viewers` are endpoints; None: beside `bind`. `required` names the controllers without which the station is
    suspended. `keys` is the folder of edge-keys; None: nobody is asked who he is. `records` is the
    folder of journal and images; None: no record is kept. Of the images one good in `keep_goods` is kept, `keep_bytes`
    in all, for `keep_days` days. `metrics` is HOST:PORT of a page for Prometheus. A live frame
    older than `stale_ms` when it comes is not judged, nor one outside the `envelope` of `edge-run --commission`.
    A camera that was lost gives `resume_frames` good frames in a row before the line goes on. With `regions` the model
    is shown each of them instead of the frame, and the worst score decides. `spinning` lets threads of ONNX Runtime
    wait busily, `keep_warm` runs the model on a golden frame shortly before each part is expected. Where stations share
    a model, `streams` of their frames are scored at once and share the `threads`.
    """

    bundle: Path
    source: str
    station: str = "line1"
    bind: str = VERDICTS
    backend: str = "auto"
    threads: int | None = None
    spinning: bool = False
    keep_warm: bool = False
    streams: int = 1
    policy: Literal["every", "latest"] | None = None
    budget_ms: float = 500.0
    wait_subscribers: int = 0
    simulated: bool = False
    trust: tuple[Path, ...] = ()
    trigger: Literal["free", "external", "presence"] = "free"
    control: str | None = None
    viewers: str | None = None
    required: tuple[str, ...] = ()
    keys: Path | None = None
    records: Path | None = None
    keep_goods: int = 100
    keep_bytes: int = 50 * 2**30
    keep_days: float | None = None
    metrics: str | None = None
    stale_ms: float = 1000.0
    envelope: Path | None = None
    regions: tuple[RegionOfInterest, ...] = ()
    resume_frames: int = 3
    presence: Presence = field(default_factory=Presence)

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
