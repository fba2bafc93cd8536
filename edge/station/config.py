"""What a station was asked to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

VERDICTS = "tcp://127.0.0.1:5570"


@dataclass(frozen=True)
class StationConfig:
    """One camera, one bundle, one verdict channel.

    `policy` "every" judges each frame in order, "latest" the newest one of a free-running camera; None picks by
    source ("latest" for cameras, "every" for all else). `rate`, `size`, `limit`, `loop`, `seed` belong to the source.
    `simulated` marks every verdict so, whatever bundle and source say of themselves. `trust` names public key files:
    if there are any, only a bundle that one of these keys signed is run.

    `trigger` "free" makes a part of each frame that the policy takes, "external" of each trigger on the control
    socket. `control` and `viewers` are endpoints; None: beside `bind`. `required` names the controllers without which
    the station is suspended. `records` is the folder of journal and images; None: no record is kept.
    """

    bundle: Path
    source: str
    station: str = "line1"
    bind: str = VERDICTS
    backend: str = "auto"
    threads: int | None = None
    policy: Literal["every", "latest"] | None = None
    budget_ms: float = 500.0
    wait_subscribers: int = 0
    limit: int | None = None
    rate: float | None = None
    size: tuple[int, int] | None = None
    loop: bool = False
    seed: int = 0
    simulated: bool = False
    trust: tuple[Path, ...] = ()
    trigger: Literal["free", "external"] = "free"
    control: str | None = None
    viewers: str | None = None
    required: tuple[str, ...] = ()
    records: Path | None = None
