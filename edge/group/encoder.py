"""Joins parts by where they are on the belt: each station's trigger carries the encoder's count."""

from collections.abc import Callable, Mapping

from edge.verdict import Verdict

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
        self._places: dict[str, int] = {}

    def parts_of(self, view: str, verdict: Verdict, is_known: Callable[[str], bool]) -> list[str]:
        """The names of the parts that the verdict can be of, a new one if there is none; [] if it has no count. A place
        whose part `is_known` no more is free again. Within twice the tolerance of a part nothing is certain: the names
        are then those of the parts near it, and a new one.
        """
        text = (verdict.fields or {}).get(self._field, "").strip()
        if not (text.isascii() and text.isdecimal()) or int(text) >= self._counts:
            return []
        place = (int(text) - self._offsets[view]) % self._counts
        for name in [name for name in self._places if not is_known(name)]:
            del self._places[name]
        apart = {name: self._apart(place, known) for name, known in self._places.items()}
        near = [name for name, counts in apart.items() if counts <= self._tolerance]
        if near:
            return near
        self._places[str(place)] = place
        return [*(name for name, counts in apart.items() if counts <= 2 * self._tolerance), str(place)]

    def _apart(self, first: int, second: int) -> int:
        apart = (first - second) % self._counts
        return min(apart, self._counts - apart)
