"""The same through a real station, in real time: `edge-run` watches the belt, a subscriber counts what it says."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge.channel.endpoints import free_endpoint
from edge.channel.subscriber import Subscriber
from edge.demo.truth import plan_part
from edge.verdict import State, StateChange, Verdict

SIZE, RATE, SPEED, PITCH = "320x180", 60.0, 3.0, 0.65
SILENCE_S = 30.0

CONFIGURATION = """\
source = "belt"
trigger = "presence"
rate = {rate}
size = "{size}"
belt = {{ speed = {speed}, pitch = {pitch} }}
"""


def run_live(parts: int, bundle: Path, tick: Callable[[int], None]) -> dict[str, Any]:
    """Run the belt until so many verdicts have come. Calls `tick` with how many have."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "station.toml"
        file.write_text(CONFIGURATION.format(rate=RATE, size=SIZE, speed=SPEED, pitch=PITCH))
        endpoint = free_endpoint()
        options = ("--config", file, "--bundle", bundle, "--bind", endpoint, "--no-records", "--json")
        command = [sys.executable, "-m", "edge.cli.run", *map(str, options)]
        subscriber = Subscriber(endpoint, "line1")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            verdicts = _listen(subscriber, parts, process, tick)
            stdout, _ = process.communicate(timeout=SILENCE_S)
        finally:
            subscriber.close()
            process.kill()
    return _examined(verdicts, json.loads(stdout))


def _listen(
    subscriber: Subscriber, parts: int, process: "subprocess.Popen[str]", tick: Callable[[int], None]
) -> list[Verdict]:
    """The verdicts up to the end; the station is told to stop when there are enough."""
    verdicts: list[Verdict] = []
    for received in subscriber.messages(SILENCE_S):
        if isinstance(received.message, Verdict):
            verdicts.append(received.message)
            tick(len(verdicts))
            if len(verdicts) == parts:
                process.terminate()
        elif isinstance(received.message, StateChange) and received.message.state is State.STOPPED:
            break
    return verdicts


def _examined(verdicts: list[Verdict], said: dict[str, Any]) -> dict[str, Any]:
    """Parts that passed before the station was ready are of no verdict; from the first on each is to have one."""
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
