"""Joins parts by where they are on the belt: each station's trigger carries the encoder's count."""

from collections import OrderedDict
from collections.abc import Mapping

from edge.verdict import Verdict

MOST_PLACES = 4_000
"""Parts whose place is remembered: those in flight, and decided ones whose late verdicts are still recognised."""

COUNTS = 2**32
"""Counts after which an encoder begins again, unless told otherwise."""


class EncoderPlaces:
    """Names each part by its place: the count at which the first view would have seen it.

    A view that stands `offsets[view]` counts further along the belt sees the part with a count that is larger by as
    much. Two verdicts are of one part if their places differ by at most `tolerance` counts. A verdict within it of two
    parts is of neither for certain, and both are unknown.
    """

    def __init__(self, field: str, offsets: Mapping[str, int], tolerance: int, counts: int = COUNTS) -> None:
        """`field` is the free field of a verdict that has the count, a whole number from 0 to `counts` - 1."""
        self._field, self._offsets, self._tolerance, self._counts = field, dict(offsets), tolerance, counts
        self._places: OrderedDict[str, int] = OrderedDict()

    def parts_of(self, view: str, verdict: Verdict) -> list[str]:
        """The names of the parts that the verdict can be of, a new one if there is none; [] if it has no count."""
        text = (verdict.fields or {}).get(self._field, "").strip()
        if not (text.isascii() and text.isdecimal()) or int(text) >= self._counts:
            return []
        place = (int(text) - self._offsets[view]) % self._counts
        near = [name for name, known in self._places.items() if self._apart(place, known) <= self._tolerance]
        if not near:
            near = [str(place)]
            self._places[near[0]] = place
            if len(self._places) > MOST_PLACES:
                self._places.popitem(last=False)
        return near

    def _apart(self, first: int, second: int) -> int:
        apart = (first - second) % self._counts
        return min(apart, self._counts - apart)
