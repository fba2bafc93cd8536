"""A real station for measurements: its own processes, frames of the source `replay`, verdicts received here."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from edge.channel.endpoints import free_endpoint
from edge.channel.subscriber import Subscriber
from edge.errors import EdgeError
from edge.verdict import State, StateChange, Verdict

WARM_UP = 20
SILENCE_S = 60.0
STATION = "bench"


@dataclass
class Heard:
    """What came of the parts after the warm-up, in milliseconds.

    `whole_ms` is from the frame in memory, or from its moment of capture at a given rate, until the verdict is decoded
    in this process; `received_ms` the part of it from the hand-over to the socket. `frames_per_s` is by the moments of
    publication.
    """

    whole_ms: list[float] = field(default_factory=list)
    received_ms: list[float] = field(default_factory=list)
    published_ns: list[int] = field(default_factory=list)

    @property
    def frames_per_s(self) -> float:
        """From the first verdict to the last."""
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
    """Let a station judge `frames` frames of `size` (height, width), and `warm_up` before them.

    Back to back if `rate`, in parts a second, is None. It begins when `subscribers` are there, this process's own among
    them. Raises EdgeError if it does not give every verdict.
    """
    endpoint = endpoint or free_endpoint()
    subscriber = Subscriber(endpoint, STATION)
    options: dict[str, object] = {
        "source": "replay",
        "bundle": bundle,
        "station": STATION,
        "bind": endpoint,
        "backend": backend,
        "threads": threads,
        "size": f"{size[1]}x{size[0]}",
        "limit": frames + warm_up,
        "budget-ms": 60000,
        "wait-subscribers": subscribers,
    }
    options |= {} if rate is None else {"rate": rate}
    flags = ["--no-records", "--no-tuned", *(f"--{name}={value}" for name, value in options.items())]
    command = [sys.executable, "-m", "edge.cli.run", *flags]
    station = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    heard = Heard()
    try:
        for received in subscriber.messages(SILENCE_S):
            message = received.message
            if isinstance(message, StateChange) and message.state is State.STOPPED:
                break
            if isinstance(message, Verdict) and message.seq > warm_up:
                _note(heard, message, received.at_ns, is_paced=rate is not None)
    finally:
        subscriber.close()
        station.terminate()
        complaints = station.communicate()[1]
    if len(heard.whole_ms) != frames:
        last = complaints.strip().splitlines()[-1:] or ["it said nothing"]
        raise EdgeError(f"the station gave {len(heard.whole_ms)} of {frames} verdicts; {last[0]}")
    return heard


def _note(heard: Heard, verdict: Verdict, at_ns: int, is_paced: bool) -> None:
    timing = verdict.timing
    in_ring = timing.captured if is_paced or timing.in_ring is None else timing.in_ring
    begun = max(timing.captured, in_ring)  # a stored frame waits in the ring until it is taken
    heard.whole_ms.append((at_ns - begun) / 1e6)
    heard.received_ms.append((at_ns - timing.published) / 1e6)
    heard.published_ns.append(timing.published)
