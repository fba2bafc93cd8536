"""A real station for measurements: its own processes, frames of the source `replay`, verdicts received here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.station import Station
from edge.channel.endpoints import free_endpoint
from edge.errors import EdgeError
from edge.rates import rate_text
from edge.verdict import Verdict

WARM_UP = 20
SILENCE_S = 60.0
STATION = "bench"


@dataclass
class Heard:
    """The measurements of the parts after the warm-up, in milliseconds.

    `whole_ms` is from the frame in memory, or at a given rate from its capture, until the verdict is decoded in this
    process; `received_ms` is its last part, from the hand-over to the socket. `frames_per_s` is computed from the times
    of publication.
    """

    whole_ms: list[float] = field(default_factory=list)
    received_ms: list[float] = field(default_factory=list)
    published_ns: list[int] = field(default_factory=list)

    @property
    def frames_per_s(self) -> float:
        """Frames per second from the first verdict to the last."""
        return (len(self.published_ns) - 1) / ((self.published_ns[-1] - self.published_ns[0]) / 1e9)


def run_station(
    bundle: Path,
    size: tuple[int, int],
    frames: int,
    threads: int,
    rate: float | None = None,
    endpoint: str | None = None,
    subscribers: int = 1,
    backend: str = "auto",
    warm_up: int = WARM_UP,
) -> Heard:
    """Let a station judge `frames` frames of `size` (height, width), after `warm_up` others.

    Back to back if `rate`, in parts per second, is None. The station begins when `subscribers` are present, including
    this process's own. Raises EdgeError if a verdict is missing.
    """
    heard = Heard()
    options: dict[str, Any] = {"source": "replay", "bundle": bundle, "backend": backend, "threads": threads}
    options |= {"size": f"{size[1]}x{size[0]}", "limit": frames + warm_up, "budget_ms": 60000}
    options["rate"] = None if rate is None else rate_text(rate)
    options |= {"station": STATION, "bind": endpoint or free_endpoint(), "wait_subscribers": subscribers}
    with Station(**options) as station:
        for received in station.messages(SILENCE_S):
            if isinstance(received.message, Verdict) and received.message.seq > warm_up:
                _note(heard, received.message, received.at_ns, is_paced=rate is not None)
        if len(heard.whole_ms) != frames:
            raise EdgeError(f"the station gave {len(heard.whole_ms)} of {frames} verdicts; {station.last_words()}")
    return heard


def _note(heard: Heard, verdict: Verdict, at_ns: int, is_paced: bool) -> None:
    timing = verdict.timing
    in_ring = timing.captured if is_paced or timing.in_ring is None else timing.in_ring
    begun = max(timing.captured, in_ring)  # a stored frame waits in the ring until the station takes it
    heard.whole_ms.append((at_ns - begun) / 1e6)
    heard.received_ms.append((at_ns - timing.published) / 1e6)
    heard.published_ns.append(timing.published)
