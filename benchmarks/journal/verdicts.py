"""Verdicts as a station makes them, in any number: drawn from those of a real run, with times, scores and ids of their
own.
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge.channel.control_messages import Fate
from edge.channel.endpoints import free_endpoint
from edge.errors import EdgeError
from edge.records.journal import open_to_read
from edge.records.stored_verdicts import select
from edge.verdict import Verdict

SAMPLED = 200
LOT = 2000
"""Parts of a lot."""

FATES = {"good": Fate.PASSED, "reject": Fate.REJECTED, "unknown": Fate.REJECTED}


def sample(folder: Path) -> list[Verdict]:
    """The verdicts of a run of the demonstration line, which `edge-run` judges with its shipped bundle."""
    command = [sys.executable, "-P", "-m", "edge.cli.run", "--source", "demo", "--limit", str(SAMPLED)]
    command += ["--bind", free_endpoint()]
    done = subprocess.run([*command, "--records", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        raise EdgeError(f"edge-run ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    with closing(open_to_read(folder)) as journal:
        return [stored.verdict for stored in select(journal)]


@dataclass(frozen=True)
class Line:
    """A line of 600 parts a minute, whose verdicts are drawn from `sampled` with the random numbers of `seed`."""

    sampled: list[Verdict]
    epoch: str
    begun: datetime
    reject_share: float = 0.03
    seed: int = 7

    def verdicts(self, count: int, pause_s: float = 0.1) -> Iterator[Verdict]:
        """The next `count` verdicts: a trigger's serial number as id, lot and order as free fields."""
        chance = random.Random(self.seed)
        by_outcome: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for one in self.sampled:
            by_outcome[one.verdict == "reject"].append(json.loads(one.model_dump_json()))
        clock = 4_164_668_069_560
        for seq in range(1, count + 1):
            said = chance.choice(by_outcome[chance.random() < self.reject_share and bool(by_outcome[True])])
            clock += int(pause_s * 1e9 * chance.uniform(0.98, 1.02))
            yield Verdict.model_validate(self._one(said, seq, clock, pause_s, chance))

    def _one(self, said: dict[str, Any], seq: int, clock: int, pause_s: float, chance: random.Random) -> dict[str, Any]:
        shift = clock - said["timing"]["captured"]
        timing = {key: at and at + shift + chance.randrange(100_000) for key, at in said["timing"].items()}
        timing["captured"], timing["published"] = clock, clock + int(said["age_ms"] * 1e6) + chance.randrange(500_000)
        time = self.begun + timedelta(seconds=seq * pause_s, milliseconds=chance.randrange(20))
        score = said["score"]
        return said | {
            "epoch": self.epoch,
            "seq": seq,
            "part": f"S{26_000_000 + seq:08}",
            "fields": {"lot": f"L{4711 + seq // LOT}", "order": f"10004{seq // (10 * LOT):05}"},
            "score": None if score is None else _near(score, said["threshold"], chance),
            "timing": timing,
            "age_ms": (timing["published"] - timing["captured"]) / 1e6,
            "time": time.astimezone(UTC).isoformat(timespec="milliseconds"),
        }


def _near(score: float, threshold: float, chance: random.Random) -> float:
    """A score near the given one, on the same side of the threshold."""
    near = score * chance.uniform(0.9, 1.1)
    return near if (near >= threshold) == (score >= threshold) else score
