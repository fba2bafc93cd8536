"""A station on pictures with a clock, and a subscriber in this process that reads the clock from the verdicts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.glass.bundle import SHOWN_MODULUS
from benchmarks.station import Station
from edge.channel.subscriber import Received
from edge.errors import EdgeError
from edge.machine import cores
from edge.verdict import Verdict

WARM_UP = 20
SILENCE_S = 30.0


@dataclass(frozen=True)
class Sample:
    """One verdict, in milliseconds.

    `glass_ms` is from the drawing of the picture's clock until the verdict is decoded here. `said_ms` is the age in the
    verdict, from the source's stamp to publication. `stamp_ms` is the delay from the drawing to the source's stamp;
    negative if the stamp is earlier.
    """

    glass_ms: float
    said_ms: float
    stamp_ms: float


@dataclass
class Seen:
    """The samples of one run, and the numbers of verdicts without one: unreadable clock, or not scored.

    `first_ns` and `last_ns` are the arrival times of the first and the last sample.
    """

    samples: list[Sample]
    unread: int = 0
    unknown: int = 0
    first_ns: int = 0
    last_ns: int = 0

    @property
    def lasted_s(self) -> float:
        """Seconds from the first sample to the last."""
        return (self.last_ns - self.first_ns) / 1e9


def watch(bundle: Path, options: list[str], unit_us: int, frames: int, tick: Callable[[], None]) -> Seen:
    """Run a station with these options until `frames` clocks were read. Raises EdgeError if it ends before."""
    seen = Seen([])
    own: dict[str, Any] = {"bundle": bundle, "station": "glass", "backend": "openvino", "threads": cores()}
    own |= {"budget_ms": 10_000, "stale_ms": 10_000}
    with Station(*options, **own) as station:
        for received in station.messages(SILENCE_S):
            if _take(received, unit_us, seen):
                tick()
            if len(seen.samples) == frames:
                return seen
        raise EdgeError(f"the station read {len(seen.samples)} of {frames} clocks; {station.last_words()}")


def _take(received: Received, unit_us: int, seen: Seen) -> bool:
    """Add a message; returns whether it gave a sample."""
    verdict = received.message
    if not isinstance(verdict, Verdict) or verdict.seq <= WARM_UP:
        return False
    if verdict.score is None:
        seen.unknown += 1
        return False
    if verdict.score < 0:
        seen.unread += 1
        return False
    seen.first_ns, seen.last_ns = seen.first_ns or received.at_ns, received.at_ns
    seen.samples.append(sample(verdict, received.at_ns, unit_us))
    return True


def sample(verdict: Verdict, at_ns: int, unit_us: int) -> Sample:
    """The sample of a verdict with a clock as its score, received at `at_ns` on the monotonic clock."""
    assert verdict.score is not None
    unit_ns = unit_us * 1000
    glass = (at_ns / unit_ns - verdict.score) % SHOWN_MODULUS
    stamp = (verdict.timing.captured / unit_ns - verdict.score + SHOWN_MODULUS / 2) % SHOWN_MODULUS - SHOWN_MODULUS / 2
    return Sample(glass * unit_us / 1000, verdict.age_ms, stamp * unit_us / 1000)
