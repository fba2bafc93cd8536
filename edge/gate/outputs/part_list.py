"""Parts in a line of text: the names of a few; of many the number, the first and the last."""

from collections.abc import Iterable

MOST_NAMED = 5


class PartList:
    """Parts in their order on the belt. However many are added, few are kept."""

    def __init__(self, parts: Iterable[str] = ()) -> None:
        """Parts may be added later."""
        self._first: list[str] = []
        self._last = ""
        self._count = 0
        for part in parts:
            self.add(part)

    def add(self, part: str) -> None:
        """Add the next part."""
        self._count += 1
        self._last = part
        if self._count <= MOST_NAMED:
            self._first.append(part)

    def __bool__(self) -> bool:
        return self._count > 0

    def __str__(self) -> str:
        if self._count <= MOST_NAMED:
            return ", ".join(self._first)
        return f"{self._first[0]} to {self._last} ({self._count} parts)"
