"""All pairs of photographs of a data folder that show the same thing."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.terminal.progress import SILENT, Advance, Stage
from train.data.likeness.agreement import Agreement, agreement
from train.data.likeness.limits import Limits, as_correlation, limits_of
from train.data.likeness.registration import OVERLAP, Registration, Warp, mirrored, overlap
from train.data.likeness.spectra import Candidate, Choices, candidates, spectra
from train.data.likeness.thumbnail import Thumbnail

APART, STRANGERS, TOGETHER = 8, 4, 2
"""Candidates of each photograph: in other splits, in its own of other parts, and of its own part."""

CLOSE = 0.6
"""Correlation of refined pictures below which the agreement of two photographs is taken as 0; the lowest of a copy that
was planted among training photographs is 0.72."""

UNRELATED = Agreement(0.0, 0.0)

PLACED, LIKE = 1, 2
"""Candidates of each kind that are refined for a photograph: the best ones by correlation, and by spectra."""


class Alike(NamedTuple):
    """Two photographs, by their index, `first` < `second`, their correlation where they agree least, of detail or of
    brightness, and whether they are certain to be the same.
    """

    first: int
    second: int
    correlation: float
    is_certain: bool


class Compared(NamedTuple):
    """A pair whose agreement was measured."""

    pair: Candidate
    agreement: Agreement


def near_duplicates(
    thumbnails: Sequence[Thumbnail],
    splits: Sequence[str],
    parts: Sequence[str | None] | None = None,
    stage: Stage = SILENT.begin,
) -> tuple[list[Alike], Limits]:
    """The pairs of photographs that show the same thing, certain ones first, then by correlation, and the limits.

    `splits` and `parts` name the split and the part of each photograph; a photograph of no named part is taken for the
    only one of its part. Photographs that are equal to the pixel are always a pair, even if they are plain; of many
    equal ones, each is paired with the first one of each split. Takes about a minute of one core for a thousand
    photographs, in proportion to their number but for the spectra, whose comparison grows with its square.
    """
    equal, kinds = _equal(thumbnails, splits), _Kinds(splits, parts or [None] * len(thumbnails))
    if len(thumbnails) < 2:
        return [], _limits([], kinds)
    advance = stage("looking for photographs that look alike", 2 * len(thumbnails))
    found = spectra([one.grey for one in thumbnails], advance)
    pairs: dict[frozenset[int], Candidate] = {}
    for pair in candidates(found, kinds.choices):
        pairs.setdefault(frozenset(pair[:2]), pair)
    compared = _compared(thumbnails, list(pairs.values()), kinds, advance)
    limits = _limits(compared, kinds)
    alike = {pair: Alike(*pair, 1.0, True) for pair in equal}
    for pair, value in compared:
        first, second = sorted(pair[:2])
        if (exceeded := limits.exceeded(value)) is not None:
            alike.setdefault((first, second), Alike(first, second, as_correlation(exceeded[0]), exceeded[1]))
    return sorted(alike.values(), key=lambda one: (not one.is_certain, -one.correlation, one)), limits


class _Kinds:
    """How two photographs stand to each other: in different splits, strangers in one, or of one part."""

    def __init__(self, splits: Sequence[str], parts: Sequence[str | None]) -> None:
        self.splits = np.unique(np.array(splits), return_inverse=True)[1]
        names = [part or f"{index} is the only photograph of its part" for index, part in enumerate(parts)]
        self.parts = np.unique(np.array(names), return_inverse=True)[1]

    def __call__(self, pair: Candidate) -> str:
        first, second = pair[:2]
        if self.splits[first] != self.splits[second]:
            return "apart"
        return "together" if self.parts[first] == self.parts[second] else "strangers"

    def choices(self, rows: slice) -> Choices:
        """Which photographs the ones in `rows` are compared with, for `candidates`."""
        apart = self.splits[rows, None] != self.splits[None]
        related = self.parts[rows, None] == self.parts[None]
        itself = np.arange(len(self.splits))[rows, None] == np.arange(len(self.splits))[None]
        return [(apart, APART), (~apart & ~related, STRANGERS), (~apart & related & ~itself, TOGETHER)]

    def ratio(self) -> float:
        """The number of pairs in different splits for each pair of different parts within one."""
        count = len(self.splits)
        _, within = np.unique(self.splits, return_counts=True)
        _, related = np.unique(np.stack([self.splits, self.parts]), axis=1, return_counts=True)
        apart, same = count**2 - (within**2).sum(), (within**2).sum() - (related**2).sum()
        return float(apart / max(1, same))


def _equal(thumbnails: Sequence[Thumbnail], splits: Sequence[str]) -> list[tuple[int, int]]:
    """Each photograph that is equal to an earlier one, with the first such one of each split."""
    seen: dict[tuple[object, ...], dict[str, int]] = {}
    pairs = []
    for index, one in enumerate(thumbnails):
        firsts = seen.setdefault((one.grey.shape, one.grey.tobytes()), {})
        pairs += [(first, index) for first in firsts.values()]
        firsts.setdefault(splits[index], index)
    return pairs


def _compared(
    thumbnails: Sequence[Thumbnail], pairs: Sequence[Candidate], kinds: _Kinds, advance: Advance
) -> list[Compared]:
    """The agreement of the most promising pairs of each photograph."""
    register = Registration(thumbnails)
    part_done = len(thumbnails) / max(1, len(pairs)) / 2
    placed: dict[Candidate, list[tuple[float, Warp]]] = {}
    for pair in sorted(pairs):
        placed[pair] = register.placed(pair)
        advance(part_done)
    refined: dict[Candidate, tuple[float, Warp]] = {}
    chosen = _best(placed, {pair: found[0][0] for pair, found in placed.items()}, kinds, LIKE)
    for pair in chosen:
        refined[pair] = register.refined(pair, placed[pair])
        advance(len(thumbnails) / len(chosen) / 4)
    close = {pair: correlation for pair, (correlation, _) in refined.items() if correlation >= CLOSE}
    compared = [Compared(pair, UNRELATED) for pair in refined.keys() - close.keys()]
    chosen = _best(close, close, kinds, 1)
    for pair in chosen:
        warp = register.finished(pair, refined[pair][1])
        first, second = thumbnails[pair.first].grey, thumbnails[pair.second].grey
        if overlap(warp, first.shape, second.shape) >= OVERLAP:
            compared.append(Compared(pair, agreement(first, _grey(second, pair), warp)))
        advance(len(thumbnails) / len(chosen) / 4)
    return compared


def _grey(grey: npt.NDArray[np.uint8], pair: Candidate) -> npt.NDArray[np.uint8]:
    return np.asarray(mirrored(grey, pair.is_mirrored), np.uint8)


def _best(pairs: Iterable[Candidate], scores: dict[Candidate, float], kinds: _Kinds, like: int) -> list[Candidate]:
    """For each photograph and kind of pair: those of the highest score, and the `like` ones with the likest spectra."""
    of_photograph = defaultdict(list)
    for pair in pairs:
        for index in pair[:2]:
            of_photograph[index, kinds(pair)].append(pair)
    chosen = set()
    for some in of_photograph.values():
        chosen |= set(sorted(some, key=lambda pair: -scores[pair])[:PLACED])
        chosen |= set(sorted(some, key=lambda pair: -pair.agreement)[:like])
    return sorted(chosen)


def _limits(compared: Sequence[Compared], kinds: _Kinds) -> Limits:
    """The limits from the pairs of different parts within a split."""
    strangers = [one for one in compared if kinds(one.pair) == "strangers"]
    pairs = np.array([one.pair[:2] for one in strangers], np.int64).reshape(-1, 2)
    agreements = np.array([one.agreement for one in strangers], np.float64).reshape(-1, 2)
    return limits_of(kinds.parts[pairs], kinds.splits[pairs[:, 0]], agreements, kinds.ratio())
