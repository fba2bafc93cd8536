"""A simulated line, minute by minute: blocks resampled from rendered parts, with lots, and the real watch on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.drift.rendering import Effect, Seen
from edge.pictures.features import FEATURES as PICTURE_FEATURES
from edge.station.drift.chart import MEMORY, WEEK, Block
from edge.station.drift.features import FEATURES as WATCHED
from edge.station.drift.features import REJECTS, SCORE
from edge.station.drift.file import LineIdentity
from edge.station.drift.watch import DriftWatch

RATE = 600
"""Parts a minute, and so of a block."""

HOURS = 8.0
"""Hours of the reference: what a station takes if nothing else is said."""

COMMISSIONING = round(60 * HOURS) + MEMORY
"""Blocks until the reference is complete."""

DAY = 24 * 60

RUN = 10
"""Mean number of blocks that follow each other in the rendered parts before another place is drawn (the stationary
bootstrap of Politis and Romano, Journal of the American Statistical Association 89, 1994)."""


@dataclass(frozen=True)
class Lots:
    """How the lots of a line differ. `minutes` is their mean length; 0: there are none.

    The length is gamma distributed with shape 4. A lot moves all features and the scores together, by `spread` of the
    way from the mean part to a part drawn at random; its reject rate is a gamma distributed multiple of the line's,
    with the coefficient of variation `rejects`. `day` is the amplitude of the light's change over a day, as a share.
    """

    name: str
    minutes: float
    spread: float = 0.3
    rejects: float = 0.3
    day: float = 0.01


class Plant:
    """The blocks of one line."""

    def __init__(self, base: Seen, lamp: Sequence[Effect], lots: Lots, seed: int | Sequence[int]) -> None:
        """`base` are parts of the line in order; `lamp` the effects of a weaker lamp, for the light of the day."""
        self._rng, self._lots = np.random.default_rng(seed), lots
        goods = np.where(base.rejects, 0.0, 1.0)
        self._columns = np.column_stack([base.features, goods, base.scores * goods, base.features**2])
        self._sums = np.vstack([np.zeros(self._columns.shape[1]), np.cumsum(np.tile(self._columns, (2, 1)), axis=0)])
        self._parts, self._base, self._rate = len(base.scores), base, float(base.rejects.mean())
        self._by_light = lamp[0].features / lamp[0].severity
        self._phase, self._at = self._rng.uniform(0, 2 * np.pi), 0
        self._minute, self._lot_ends = 0, 0.0
        self._good_scores = base.scores[~base.rejects]
        self._score_variance = float(self._good_scores.var())
        self._new_lot()

    def _new_lot(self) -> None:
        rng, lots, base = self._rng, self._lots, self._base
        if not lots.minutes:
            self._lot_ends = np.inf
            self._lot_features, self._lot_score, self._lot_rejects = np.zeros(len(PICTURE_FEATURES)), 0.0, 1.0
            return
        self._lot_ends += lots.minutes * rng.gamma(4, 0.25)
        self._lot_features = lots.spread * (base.features[rng.integers(self._parts)] - base.features.mean(axis=0))
        self._lot_score = lots.spread * float(rng.choice(self._good_scores) - self._good_scores.mean())
        self._lot_rejects = rng.gamma(1 / lots.rejects**2, lots.rejects**2)

    def minute(self, fault: Effect | None = None) -> Mapping[str, Block]:
        """The block of the next minute, with the effect of a fault."""
        rng = self._rng
        while self._minute >= self._lot_ends:
            self._new_lot()
        if rng.random() < 1 / RUN:
            self._at = int(rng.integers(self._parts))
        begin = self._at
        self._at = (begin + RATE) % self._parts
        sums = self._sums[begin + min(RATE, self._parts)] - self._sums[begin]
        count, many = min(RATE, self._parts), len(PICTURE_FEATURES)
        means = sums[:many] / count
        variances = np.maximum(0, sums[many + 2 :] / count - means**2)
        light = self._lots.day * np.sin(2 * np.pi * self._minute / DAY + self._phase)
        means = means + self._lot_features - light * self._by_light
        score = sums[many + 1] / max(1.0, sums[many]) + self._lot_score
        rate = self._rate * self._lot_rejects
        if fault is not None:
            means, score = means + fault.features, score + fault.score
            rate += fault.rejects - fault.rejects_before
        share = rng.binomial(RATE, min(1.0, max(0.0, rate))) / RATE
        self._minute += 1
        blocks = map(Block, means.tolist(), variances.tolist())
        found = {name: one for name, one in zip(PICTURE_FEATURES, blocks, strict=True) if name in WATCHED}
        found[SCORE], found[REJECTS] = Block(float(score), self._score_variance), Block(share, share * (1 - share))
        return found


class Line:
    """A plant and the watch of its station."""

    def __init__(self, plant: Plant) -> None:
        self._plant, self.minute = plant, 0
        line = LineIdentity(digest="", bundle="", source="")
        self.watch = DriftWatch(line, HOURS, None, lambda level, text: None, None, lambda: str(self.minute))

    def run(self, fault: Effect | None = None) -> bool:
        """One minute; whether there is an alarm after it."""
        self.watch.end_block(self._plant.minute(fault))
        self.minute += 1
        return bool(self.watch.alarms)


def false_alarms(plant: Plant, weeks: float) -> list[str]:
    """The feature of each alarm of an unchanged line, from its first minute to `weeks` after its commissioning."""
    line, is_on, found = Line(plant), False, list[str]()
    for _ in range(COMMISSIONING + round(weeks * WEEK)):
        was_on, is_on = is_on, line.run()
        if is_on and not was_on:
            found.append(line.watch.state.feature or "")
    return found


@dataclass(frozen=True)
class Noticed:
    """When a fault was noticed: minutes from its beginning, and what the alarm named; None: it was not."""

    minutes: int | None
    feature: str | None


def notice(plant: Plant, effects: Sequence[Effect], pace: float, minutes: int) -> Noticed:
    """Let a fault grow by `pace` a minute, over all `effects`, after commissioning; 0: it is there at once."""
    line = Line(plant)
    for _ in range(COMMISSIONING):
        line.run()
    for minute in range(1, minutes + 1):
        if line.run(at(effects, pace * minute if pace else effects[-1].severity)):
            return Noticed(minute, line.watch.state.feature)
    return Noticed(None, None)


def at(effects: Sequence[Effect], severity: float) -> Effect:
    """The effect at a severity: between two that were rendered, in proportion; none before the first is severity 0."""
    first = effects[0]
    known = [Effect(0.0, np.zeros_like(first.features), 0.0, first.rejects_before, first.rejects_before), *effects]
    severity = min(severity, known[-1].severity)
    upper = next(number for number, one in enumerate(known) if one.severity >= severity)
    if not upper:
        return known[0]
    low, high = known[upper - 1], known[upper]
    share = (severity - low.severity) / (high.severity - low.severity)
    return Effect(
        severity,
        low.features + share * (high.features - low.features),
        low.score + share * (high.score - low.score),
        low.rejects + share * (high.rejects - low.rejects),
        first.rejects_before,
    )


def doubled(effects: Sequence[Effect], pace: float, minutes: int) -> int | None:
    """The minute in which the expected reject rate is twice that before; None if that is never so."""
    for minute in range(1, minutes + 1):
        one = at(effects, pace * minute if pace else effects[-1].severity)
        if one.rejects >= 2 * one.rejects_before:
            return minute
    return None
