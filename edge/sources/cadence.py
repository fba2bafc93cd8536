"""When the parts of a line come: at its cadence, with jitter, and with pauses."""

import random
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from edge.errors import SourceError
from edge.sources.base import Capture

SIGN_OF_LIFE_S = 0.2
"""A source that waits longer says so this often, for a station kills one that is silent."""


@dataclass(frozen=True)
class Rhythm:
    """`rate` parts a second, each sooner or later by up to `jitter` of the interval; after every `idle_every_s` of work
    the line pauses for `idle_s`.
    """

    rate: float
    jitter: float = 0.0
    idle_every_s: float | None = None
    idle_s: float = 0.0
    seed: int = 0

    def moments(self) -> Iterator[float]:
        """Seconds after the first part, which comes at 0; never falling, the same each time."""
        rng, part, last = random.Random(self.seed), 0, 0.0
        while True:
            at = part / self.rate
            pauses = 0 if self.idle_every_s is None else int(at / self.idle_every_s)
            off = rng.uniform(-self.jitter, self.jitter) / self.rate if part else 0.0
            last = max(last, at + pauses * self.idle_s + off)
            yield last
            part += 1

    @classmethod
    def of(cls, rate: float, words: str) -> Self:
        """The rhythm in words, as "jitter=0.2,idle=5/60": up to a fifth of the interval off, and a pause of 5 s after
        every 60 s of work. Raises SourceError if the words say anything else.
        """
        number = r"(\d+(?:\.\d+)?)"
        found = re.fullmatch(rf"(?:jitter={number})?,?(?:idle={number}/{number})?", words)
        jitter, idle_s, every_s = (
            (None if one is None else float(one) for one in found.groups()) if found else (9.0,) * 3
        )
        if (jitter or 0) > 1 or every_s == 0:
            raise SourceError(
                f"replay:{words}: say how far off parts are, 0 to 1 of the interval, and what pauses the line makes, "
                "seconds, as in replay:jitter=0.2,idle=5/60"
            )
        return cls(rate, jitter or 0.0, every_s, idle_s or 0.0)

    def words(self) -> str:
        """What `of` reads."""
        said = [f"jitter={self.jitter:f}"] if self.jitter else []
        if self.idle_every_s is not None:
            said.append(f"idle={self.idle_s:f}/{self.idle_every_s:f}")
        return ",".join(said)


def rhythmic(captures: Iterable[Capture], rhythm: Rhythm) -> Iterator[Capture | None]:
    """The captures, each stamped with the moment at which its part was due, as a camera would have exposed it.

    A machine too busy to let a frame go in time is thus seen to be late. None: the line waits.
    """
    began_ns = time.monotonic_ns()
    for capture, moment in zip(captures, rhythm.moments(), strict=False):
        due_ns = began_ns + round(moment * 1e9)
        while (left_s := (due_ns - time.monotonic_ns()) / 1e9) > SIGN_OF_LIFE_S:
            time.sleep(SIGN_OF_LIFE_S)
            yield None
        time.sleep(max(0.0, left_s))
        yield replace(capture, captured_ns=due_ns)
