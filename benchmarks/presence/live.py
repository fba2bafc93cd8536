"""The same belt in front of a real station, in real time: a subscriber counts the verdicts of `edge-run`."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.station import Station
from edge.demo.truth import plan_part
from edge.verdict import Verdict

SIZE, RATE, SPEED, PITCH = "320x180", 60.0, 3.0, 0.65
SILENCE_S = 30.0

CONFIGURATION = """\
source = "belt"
trigger = "presence"
rate = "{rate}/s"
size = "{size}"
belt = {{ speed = {speed}, pitch = {pitch} }}
"""


def run_live(parts: int, bundle: Path, tick: Callable[[int], None]) -> dict[str, Any]:
    """Run the belt until `parts` verdicts were received. Calls `tick` with their number so far."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "station.toml"
        file.write_text(CONFIGURATION.format(rate=RATE, size=SIZE, speed=SPEED, pitch=PITCH))
        verdicts: list[Verdict] = []
        with Station(config=file, bundle=bundle) as station:
            for received in station.messages(SILENCE_S):
                if isinstance(received.message, Verdict):
                    verdicts.append(received.message)
                    tick(len(verdicts))
                    if len(verdicts) == parts:
                        station.process.terminate()
            return _examined(verdicts, station.report())


def _examined(verdicts: list[Verdict], said: dict[str, Any]) -> dict[str, Any]:
    """The result. Parts that passed before the station was ready have no verdict; each later part must have one."""
    numbers = [int(verdict.part[1:]) for verdict in verdicts if verdict.part[1:].isdigit()]
    counts = Counter(numbers)
    span = range(min(numbers), max(numbers) + 1) if numbers else range(0)
    right = all(verdict.truth == plan_part(0, n, 0.2).truth for verdict, n in zip(verdicts, numbers, strict=True))
    missing, twice = sum(n not in counts for n in span), sum(count > 1 for count in counts.values())
    return {
        "frame": SIZE.replace("x", "×"),
        "rate": RATE,
        "speed": SPEED,
        "pitch": PITCH,
        "verdicts": len(verdicts),
        "parts": len(span),
        "missing": missing,
        "twice": twice,
        "unknown": dict(Counter(verdict.reason for verdict in verdicts if verdict.verdict == "unknown")),
        "age_p50_ms": said["p50_ms"],
        "age_p99_ms": said["p99_ms"],
        "truth": said["truth"],
        "holds": bool(numbers) and not missing and not twice and numbers == sorted(numbers) and right,
    }
