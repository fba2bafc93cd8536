"""The verdicts of which reviewed parts are a random sample: those that the queue could have offered up to a draw.

When the queue offers a part, every part before it in the random order that could be offered then is decided. The parts
up to that place are thus a random sample of all that could be offered at that moment, and say nothing of those that
came later. Of all draws the one counts whose sample is the largest.
"""

import bisect
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edge.review.decisions import Standing, Way
from edge.review.record import Key
from edge.review.reviews import drawn
from edge.verdict import Outcome


class Span(NamedTuple):
    """The verdicts published until a time, as the journal writes it, and of the decided ones the place in the random
    order up to which they are the sample.
    """

    until: str
    place: bytes
    drawn_at: str = ""
    """When the sample was drawn, also if `until` is earlier: a picture that was gone by then could not be drawn."""

    def has(self, one: Standing) -> bool:
        """Whether a decided verdict is in the sample."""
        return one.judged.time <= self.until and drawn(one.decisions[0].key) <= self.place


WHOLE = Span("~", b"\xff" * 33)
"""All verdicts, however they were chosen: each of them is decided."""


def span_of(standings: Sequence[Standing]) -> Span | None:
    """The span of the draw with the largest sample, of the decided verdicts of one record and one outcome; of draws
    with equal samples the last. None without draws.
    """
    decisions = sorted((one for standing in standings for one in standing.decisions), key=lambda one: one.id)
    draws: list[Span] = []
    until = ""  # a decided verdict was there, whatever the clocks say
    for one in decisions:
        until = max(until, one.time, one.judged.time)
        if one.way is Way.DRAWN:
            draws.append(Span(until, drawn(one.key), until))
    waiting = sorted(((one.judged.time, drawn(one.decisions[0].key)) for one in standings), reverse=True)
    places: list[bytes] = []
    sizes = []
    for draw in draws:  # each ends no earlier than the one before it
        while waiting and waiting[-1][0] <= draw.until:
            bisect.insort(places, waiting.pop()[1])
        sizes.append(bisect.bisect_right(places, draw.place))
    return max(zip(sizes, draws, strict=True), key=lambda one: (one[0], one[1].until), default=(0, None))[1]


@dataclass
class Population:
    """What the journals say of one bundle."""

    verdicts: dict[Outcome, dict[Path, dict[Key, str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    """The time of each verdict, by outcome and record."""

    every: dict[tuple[Path, str], int] = field(default_factory=dict)
    """Of each run, one good in how many has a picture; 0 if none has."""

    scores: list[float] = field(default_factory=list)
    thresholds: Counter[tuple[str, float]] = field(default_factory=Counter)

    def keys(self, outcome: Outcome, folder: Path) -> Collection[Key]:
        """The verdicts of an outcome in a record."""
        return self.verdicts[outcome][folder].keys()

    def total(self, outcome: Outcome) -> int:
        """Number of verdicts of an outcome."""
        return sum(map(len, self.verdicts[outcome].values()))

    def published(self, outcome: Outcome, folder: Path, until: str) -> int:
        """Number of verdicts of an outcome in a record until this time."""
        return sum(time <= until for time in self.verdicts[outcome][folder].values())

    def within(
        self, outcome: Outcome, folder: Path, span: Span, decided: Collection[Key], stored: Mapping[Key, str | None]
    ) -> Counter[int]:
        """How many verdicts of a record the queue could have offered until the end of the span, or stand for one that
        it could: by the interval of the kept goods, others under 1.

        `stored` has the verdicts with a picture, and when it was removed. A good that is kept by number stands for all
        goods since the one before it.
        """
        verdicts, found = self.verdicts[outcome][folder], Counter[int]()
        for (epoch, seq), time in verdicts.items():
            every = self.every[folder, epoch] if outcome is Outcome.GOOD else 1
            if time > span.until or (every == 0 and span != WHOLE):
                continue
            kept = (epoch, -(-seq // every) * every) if every else (epoch, seq)
            if span == WHOLE or kept not in verdicts or kept in decided or _was_there(kept, span, stored):
                found[every] += 1
        return found


def _was_there(key: Key, span: Span, stored: Mapping[Key, str | None]) -> bool:
    gone = stored.get(key, "")
    return gone is None or gone > span.drawn_at


def common(spans: Iterable[Span | None]) -> str:
    """The time until which all spans reach; those that are None do not count."""
    return min((span.until for span in spans if span is not None), default=WHOLE.until)
