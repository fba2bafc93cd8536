"""What sources with random access to their pictures share: which pictures are wanted, and at what rate."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from edge.errors import SourceError
from edge.sources.address import redacted
from edge.sources.base import Capture, SourceRequest


@dataclass(frozen=True)
class Wanted:
    """The indices of a request: from `start` up to, not including, `end`; None is without end.

    `rate` is in pictures per second, None for as fast as they are read.
    """

    start: int
    end: int | None
    rate: float | None = None

    @property
    def length(self) -> int | None:
        """Number of pictures, None if without end."""
        return None if self.end is None else max(0, self.end - self.start)

    def indices(self) -> Iterable[int]:
        """The indices, in order."""
        return count(self.start) if self.end is None else range(self.start, self.end)


def wanted(request: SourceRequest, total: int | None, own_rate: float | None = None) -> Wanted:
    """The indices and rate that `request` asks of a source of `total` pictures (None: unknown or endless) with its
    `own_rate`, pictures per second (None: unknown).

    Raises SourceError if start, limit or rate are impossible.
    """
    if request.start < 0:
        raise SourceError(f"start {request.start}: pictures are counted from 0")
    if request.limit is not None and request.limit < 0:
        raise SourceError(f"limit {request.limit}: must be 0 or more pictures")
    rate = own_rate if request.rate == "file" else request.rate
    if rate is None and request.rate is not None:
        name = redacted(request.name)
        raise SourceError(f"{name} says no rate of its own; give --rate pictures a second, or leave it out")
    if rate is not None and not 0 < rate < float("inf"):
        raise SourceError(f"rate {rate:g}: must be more than 0 pictures a second")
    own_end = None if request.loop else total
    ends = [end for end in (request.limit, own_end) if end is not None]
    return Wanted(request.start, min(ends, default=None), rate)


def paced(captures: Iterable[Capture], rate: float | None) -> Iterator[Capture]:
    """The captures at `rate` per second, each stamped when it is yielded; None: as fast as they are read.

    Due times are counted from the first capture, so that delays do not add up.
    """
    if rate is None:
        yield from captures
        return
    began_ns = None
    for number, capture in enumerate(captures):
        now_ns = time.monotonic_ns()
        began_ns = now_ns if began_ns is None else began_ns
        wait_ns = began_ns + round(number * 1e9 / rate) - now_ns
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        yield replace(capture, captured_ns=time.monotonic_ns())
