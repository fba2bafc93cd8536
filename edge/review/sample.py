"""Which decisions are a random sample of the verdicts of a record, and of how many verdicts they are one.

The queue offers parts in a random order that is the same for everybody (`edge.review.reviews.drawn`). A decision
belongs to the sample if the queue offered the part, or if the queue passed over the part because it was decided
already: a later draw had a later place in that order. Other decisions, on parts that somebody chose or that the gate's
people named, say nothing of the parts that nobody looked at; they are counted apart. If every verdict is decided, all
decisions are the sample.
"""

import functools
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.review.decisions import Choice, Decision, ReviewError, Standing, Way
from edge.review.record import Key, Picture, Record
from edge.review.reviews import Reviews, drawn
from edge.verdict import Outcome

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reviewed:
    """A verdict with a sure decision. `score` is NaN for an unknown."""

    folder: Path
    decision: Decision
    is_bad: bool
    is_sampled: bool

    @property
    def score(self) -> float:
        """The score of the verdict; NaN for an unknown."""
        score = self.decision.judged.score
        return float("nan") if score is None else score

    @property
    def part(self) -> str:
        """Station and id of the part: what is counted once however often it was inspected."""
        return f"{self.decision.station}/{self.decision.part}"


@dataclass(frozen=True)
class Stratum:
    """Verdicts of one outcome: `count` in the record, and the random sample of them that was reviewed.

    `scores` float64 [n], `bad` bool [n] and `parts` are of the sample. `unsure` of the decided parts are left out
    because nobody is sure or two people contradict each other, `apart` because they are no part of the random sample.
    """

    outcome: Outcome
    count: int
    scores: Floats
    bad: Bools
    parts: tuple[str, ...]
    unsure: int = 0
    apart: int = 0

    @property
    def reviewed(self) -> int:
        """Size of the sample."""
        return len(self.parts)


@dataclass(frozen=True)
class ReviewedBundle:
    """The verdicts of one bundle in one or several records, and what people said of them.

    `groups` are strata with one rate of sampling each: the goods of runs that keep one in ten are apart from those of
    runs that keep one in a hundred. `strata` has all groups of an outcome together.
    `scores` float64 [N], ascending, are those of all its verdicts that have one. `thresholds` counts verdicts by
    artifact and threshold. `known` are all sure decisions, also those outside of the random samples.
    """

    bundle: str
    groups: Mapping[Outcome, Sequence[Stratum]]
    scores: Floats
    thresholds: Mapping[tuple[str, float], int]
    known: Sequence[Reviewed]
    folders: Sequence[Path] = ()
    pictures: Mapping[tuple[Path, Key], Picture] = field(default_factory=dict)
    gaps: Sequence[str] = ()
    """Damaged blocks of the records, in words: their verdicts count nowhere, whatever their bundle."""

    @functools.cached_property
    def strata(self) -> Mapping[Outcome, Stratum]:
        """The groups of each outcome together."""
        return {outcome: _together(groups) for outcome, groups in self.groups.items()}

    @property
    def missed(self) -> list[Reviewed]:
        """Parts that the gate's people named as missed, and that nobody calls good."""
        return [one for one in self.known if one.is_bad and one.decision.way is Way.MISSED]

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, of the sorted lines `station epoch seq bad|good` of all sure decisions."""
        lines = sorted(
            f"{one.decision.station} {one.decision.epoch} {one.decision.seq} {'bad' if one.is_bad else 'good'}"
            for one in self.known
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass
class _Population:
    """What the journal says of one bundle."""

    counts: dict[Outcome, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Verdicts by outcome, goods by the interval of the kept ones of their run, others under 1."""

    keys: dict[Outcome, set[tuple[Path, Key]]] = field(default_factory=lambda: defaultdict(set))
    """Verdicts by outcome, each with the folder of its record."""

    scores: list[float] = field(default_factory=list)
    thresholds: Counter[tuple[str, float]] = field(default_factory=Counter)


def read_reviewed(
    folders: Sequence[Path], bundle: str | None = None, backend: str | None = None
) -> list[ReviewedBundle]:
    """What people said of each bundle of these records, or of the one with the label `bundle`; those that were run last
    come last. With `backend` only verdicts of that artifact count.

    Raises RecordsError if a journal cannot be read, ReviewError if the decisions cannot or a run comes twice.
    """
    populations: dict[str, _Population] = defaultdict(_Population)
    standings: list[tuple[Path, Standing]] = []
    pictures: dict[tuple[Path, Key], Picture] = {}
    runs: dict[tuple[str, str], Path] = {}
    left_out: list[str] = []
    for folder in folders:
        standings += [(folder, one) for one in Reviews(folder).current().values()]
        with Record(folder) as record:
            _count(record, folder, populations, runs, backend)
            left_out += [f"{folder}: {gap}" for gap in record.gaps]
            pictures |= {(folder, key): picture for key, picture in record.every_picture().items()}
    found = []
    for label, population in populations.items():
        if bundle is not None and label != bundle:
            continue
        own = [
            (folder, one)
            for folder, one in standings
            if one.judged.bundle == label
            and backend in (None, one.judged.backend)
            and (folder, one.decisions[0].key) in population.keys[one.judged.outcome]
        ]
        groups, known = {}, []
        for outcome in Outcome:
            of_outcome = [(folder, one) for folder, one in own if one.judged.outcome is outcome]
            groups[outcome], reviewed = _groups(outcome, population, of_outcome)
            known += reviewed
        scores = np.sort(np.asarray(population.scores, np.float64))
        found.append(
            ReviewedBundle(label, groups, scores, population.thresholds, known, tuple(folders), pictures, left_out)
        )
    return found


def _count(
    record: Record,
    folder: Path,
    populations: dict[str, _Population],
    runs: dict[tuple[str, str], Path],
    backend: str | None,
) -> None:
    mine = set[tuple[str, str]]()
    for text in record.texts():
        said = json.loads(text)
        try:
            run = str(said["station"]), str(said["epoch"])
            if run not in mine:
                mine.add(run)
                if run in runs:
                    raise ReviewError(
                        f"{folder} and {runs[run]} hold the same run {run[1]} of {run[0]}; give one of them"
                    )
                runs[run] = folder
            label, outcome, artifact = said["bundle"], Outcome(said["verdict"]), said.get("backend")
            score, threshold = said.get("score"), said.get("threshold")
            if backend is not None and artifact != backend:
                continue
            population = populations[str(label)]
            every = record.every(str(said["epoch"])) if outcome is Outcome.GOOD else 1
            population.counts[outcome][every] += 1
            population.keys[outcome].add((folder, (str(said["epoch"]), int(said["seq"]))))
            if outcome is not Outcome.UNKNOWN:
                population.scores.append(float(score))
                population.thresholds[str(artifact), float(threshold)] += 1
        except (KeyError, TypeError, ValueError) as error:
            raise ReviewError(f"{record.folder}: the journal holds a verdict that is none: {error}") from None


def _groups(
    outcome: Outcome, population: _Population, standings: Sequence[tuple[Path, Standing]]
) -> tuple[list[Stratum], list[Reviewed]]:
    """The groups of an outcome with their samples, and all sure decisions on it."""
    counts, keys = population.counts[outcome], population.keys[outcome]
    count = sum(counts.values())
    is_whole = bool(keys) and {(folder, _key((folder, one))) for folder, one in standings} == keys
    by_number = [one for _, one in standings if outcome is not Outcome.GOOD or one.judged.every]
    sampled = {_key(one) for one in standings} if is_whole else _sampled(by_number)
    known: list[Reviewed] = []
    for folder, one in standings:
        if one.choice in (Choice.BAD, Choice.GOOD):
            known.append(Reviewed(folder, _said(one), one.choice is Choice.BAD, _key((folder, one)) in sampled))
    sample = [one for one in known if one.is_sampled]
    if is_whole or outcome is not Outcome.GOOD or len(counts) < 2:
        groups = [_stratum(outcome, count, sample)]
    else:
        groups = [
            _stratum(outcome, number, [one for one in sample if one.decision.judged.every == every])
            for every, number in sorted(counts.items())
        ]
    groups[0] = replace(groups[0], unsure=len(standings) - len(known), apart=len(known) - len(sample))
    return groups, known


def _stratum(outcome: Outcome, count: int, sample: Sequence[Reviewed]) -> Stratum:
    return Stratum(
        outcome,
        count,
        np.asarray([one.score for one in sample], np.float64),
        np.asarray([one.is_bad for one in sample], np.bool_),
        tuple(one.part for one in sample),
    )


def _together(groups: Sequence[Stratum]) -> Stratum:
    return Stratum(
        groups[0].outcome,
        sum(one.count for one in groups),
        np.concatenate([one.scores for one in groups]),
        np.concatenate([one.bad for one in groups]),
        tuple(part for one in groups for part in one.parts),
        sum(one.unsure for one in groups),
        sum(one.apart for one in groups),
    )


def _key(entry: tuple[Path, Standing]) -> Key:
    return entry[1].decisions[0].key


def _said(one: Standing) -> Decision:
    """The decision that names how the part came to be reviewed: that of the gate's people, if there is one."""
    missed = [decision for decision in one.decisions if decision.way is Way.MISSED]
    return (missed or [*one.decisions])[0]


def _sampled(standings: Iterable[Standing]) -> set[Key]:
    """The verdicts whose decisions are a random sample: drawn, or passed over by a later draw."""
    entries = [(decision.id, drawn(one.decisions[0].key), one.decisions[0].key, decision.way is Way.DRAWN)
               for one in standings for decision in one.decisions]  # fmt: skip
    found: set[Key] = set()
    furthest = b""  # place in the random order of the furthest draw that came later
    for _, place, key, is_drawn in sorted(entries, reverse=True):
        if is_drawn:
            furthest = max(furthest, place)
        if is_drawn or place < furthest:
            found.add(key)
    return found
