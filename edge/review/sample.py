"""Which decisions are a random sample of the verdicts of a record, and of how many verdicts they are one.

The queue offers parts in a random order that is the same for everybody (`edge.review.reviews.drawn`). A decision
belongs to the sample if the queue offered the part, or if the queue passed over the part because it was decided
already, see `edge.review.population`. Other decisions, on parts that somebody chose, that the gate's people named, or
that came after the sample was drawn, are counted apart. If every verdict is decided, all decisions are the sample.
"""

import functools
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.review.decisions import Choice, Decision, ReviewError, Standing, Way
from edge.review.population import WHOLE, Population, Span, common, span_of
from edge.review.record import Key, Picture, Record
from edge.review.reviews import Reviews
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
    """Verdicts of one outcome: `count` that the queue could offer until the sample was drawn, and that random sample.
    `others` came later, or had no picture that could be offered: the sample says nothing of them. Without a sample
    `count` has all of them. Where figures are made of rejects and goods, those without such a picture are `blind`
    instead: they are part of the population of the figures, and nothing is known of them.

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
    others: int = 0
    blind: int = 0

    @property
    def reviewed(self) -> int:
        """Size of the sample."""
        return len(self.parts)


@dataclass(frozen=True)
class ReviewedBundle:
    """The verdicts of one bundle in one or several records, and what people said of them.

    `groups` are strata with one rate of sampling each: the goods of runs that keep one in ten are apart from those of
    runs that keep one in a hundred. Those of rejects and goods are of the same records up to the same moment, with
    `blind` those that could not be sampled, so that figures can be made of both. `alone` has
    the strata for figures of one outcome, each up to its own last draw. `strata` has all groups of an outcome together.
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
    alone: Mapping[Outcome, Sequence[Stratum]] = field(default_factory=dict)
    ends: Mapping[Path, str] = field(default_factory=dict)
    """When the last verdict was published that the goods of `alone` can have, by record."""
    common_ends: Mapping[Path, str] = field(default_factory=dict)
    """The same of `groups`."""

    @functools.cached_property
    def strata(self) -> Mapping[Outcome, Stratum]:
        """The groups of each outcome together."""
        return {outcome: _together(groups) for outcome, groups in self.groups.items()}

    @functools.cached_property
    def own(self) -> Mapping[Outcome, Stratum]:
        """The strata of `alone`, all groups of an outcome together."""
        return {outcome: _together(groups) for outcome, groups in (self.alone or self.groups).items()}

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


def read_reviewed(
    folders: Sequence[Path], bundle: str | None = None, backend: str | None = None
) -> list[ReviewedBundle]:
    """What people said of each bundle of these records, or of the one with the label `bundle`; those that were run last
    come last. With `backend` only verdicts of that artifact count.

    Raises RecordsError if a journal cannot be read, ReviewError if the decisions cannot or a run comes twice.
    """
    populations: dict[str, Population] = defaultdict(Population)
    standings: list[tuple[Path, Standing]] = []
    pictures: dict[tuple[Path, Key], Picture] = {}
    stored: dict[Path, Mapping[Key, str | None]] = {}
    runs: dict[tuple[str, str], Path] = {}
    left_out: list[str] = []
    for folder in folders:
        standings += [(folder, one) for one in Reviews(folder).current().values()]
        with Record(folder) as record:
            _count(record, folder, populations, runs, backend)
            stored[folder] = record.stored()
            pictures |= {(folder, key): picture for key, picture in record.every_picture().items()}
            left_out += [f"{folder}: {gap}" for gap in record.gaps]
    found = []
    for label, population in populations.items():
        if bundle is not None and label != bundle:
            continue
        own = [
            (folder, one)
            for folder, one in standings
            if one.judged.bundle == label
            and backend in (None, one.judged.backend)
            and one.decisions[0].key in population.keys(one.judged.outcome, folder)
        ]
        scores = np.sort(np.asarray(population.scores, np.float64))
        found.append(
            ReviewedBundle(
                bundle=label,
                scores=scores,
                thresholds=population.thresholds,
                folders=tuple(folders),
                pictures=pictures,
                gaps=left_out,
                **_samples(population, own, stored),
            )
        )
    return found


def _count(
    record: Record,
    folder: Path,
    populations: dict[str, Population],
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
            key = str(said["epoch"]), int(said["seq"])
            population.every.setdefault((folder, key[0]), record.every(key[0]))
            population.verdicts[outcome][folder][key] = str(said["time"])
            if outcome is not Outcome.UNKNOWN:
                population.scores.append(float(score))
                population.thresholds[str(artifact), float(threshold)] += 1
        except (KeyError, TypeError, ValueError) as error:
            raise ReviewError(f"{record.folder}: the journal holds a verdict that is none: {error}") from None


Groups = dict[Outcome, list[Stratum]]


def _samples(
    population: Population, own: Sequence[tuple[Path, Standing]], stored: Mapping[Path, Mapping[Key, str | None]]
) -> dict[str, Any]:
    """The fields `groups`, `alone`, `known`, `ends` and `common_ends` of a ReviewedBundle."""
    decided: dict[tuple[Outcome, Path], list[Standing]] = defaultdict(list)
    for folder, one in own:
        decided[one.judged.outcome, folder].append(one)
    spans = {
        (outcome, folder): _span(outcome, population.keys(outcome, folder), decided[outcome, folder])
        for outcome in Outcome
        for folder in stored
    }
    both = {folder: [spans[outcome, folder] for outcome in (Outcome.REJECT, Outcome.GOOD)] for folder in stored}
    until = {folder: common(of_folder) for folder, of_folder in both.items()}
    reach = {folder: until[folder] for folder, of_folder in both.items() if of_folder != [None, None]}
    groups: Groups = {}
    alone: Groups = {}
    known: list[Reviewed] = []
    for outcome in Outcome:
        of_outcome = [(folder, one) for folder, one in own if one.judged.outcome is outcome]
        mine = {folder: span for folder in stored if (span := spans[outcome, folder]) is not None}
        cut = {folder: span if span.until <= until[folder] else span._replace(until=until[folder])
               for folder, span in mine.items()}  # fmt: skip
        alone[outcome], reviewed = _groups(outcome, population, of_outcome, stored, mine)
        shared = {} if outcome is Outcome.UNKNOWN else reach
        groups[outcome], _ = _groups(outcome, population, of_outcome, stored, cut, shared)
        known += reviewed
    ends = {folder: span.until for folder in stored if (span := spans[Outcome.GOOD, folder]) is not None}
    return {"groups": groups, "alone": alone, "known": known, "ends": ends, "common_ends": until}


def _span(outcome: Outcome, keys: Collection[Key], standings: Sequence[Standing]) -> Span | None:
    """The span of the sample in one record; None without one."""
    if keys and {one.decisions[0].key for one in standings} == set(keys):
        return WHOLE
    return span_of([one for one in standings if outcome is not Outcome.GOOD or one.judged.every])


def _groups(
    outcome: Outcome,
    population: Population,
    standings: Sequence[tuple[Path, Standing]],
    stored: Mapping[Path, Mapping[Key, str | None]],
    spans: Mapping[Path, Span],
    reach: Mapping[Path, str] | None = None,
) -> tuple[list[Stratum], list[Reviewed]]:
    """The groups of an outcome with their samples, and all sure decisions on it. With `reach` the verdicts of each
    record until that time are the population: those that could not be sampled are blind.
    """
    total = population.total(outcome)
    reached = sum(population.published(outcome, folder, until) for folder, until in (reach or {}).items())
    counts = Counter[int]()
    for folder, span in spans.items():
        keys = {one.decisions[0].key for of, one in standings if of == folder}
        counts += population.within(outcome, folder, span, keys, stored[folder])
    known = [
        Reviewed(folder, _said(one), one.choice is Choice.BAD, folder in spans and _is_in(outcome, spans[folder], one))
        for folder, one in standings
        if one.choice in (Choice.BAD, Choice.GOOD)
    ]
    sample = [one for one in known if one.is_sampled]
    is_whole = all(span == WHOLE for span in spans.values())
    if is_whole or outcome is not Outcome.GOOD or len(counts) < 2:
        groups = [_stratum(outcome, counts.total() if spans else reached if reach else total, sample)]
    else:
        groups = [
            _stratum(outcome, number, [one for one in sample if one.decision.judged.every == every])
            for every, number in sorted(counts.items())
        ]
    counted = sum(group.count for group in groups)
    blind = reached - counted if reach else 0
    groups[0] = replace(
        groups[0],
        unsure=len(standings) - len(known),
        apart=len(known) - len(sample),
        others=total - counted - blind,
        blind=blind,
    )
    return groups, known


def _is_in(outcome: Outcome, span: Span, one: Standing) -> bool:
    return span.has(one) and (span == WHOLE or outcome is not Outcome.GOOD or one.judged.every > 0)


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
        sum(one.others for one in groups),
        sum(one.blind for one in groups),
    )


def _said(one: Standing) -> Decision:
    """The decision that names how the part came to be reviewed: that of the gate's people, if there is one."""
    missed = [decision for decision in one.decisions if decision.way is Way.MISSED]
    return (missed or [*one.decisions])[0]
