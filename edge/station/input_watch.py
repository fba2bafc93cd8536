"""Watches the distances of a station's pictures from the training photographs: a remark, then an alarm."""

import logging
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from statistics import median

from edge.bundle.input_statistics import InputStatistics, Measured, Unmeasured

REMARK_AFTER = 20
"""Number of last pictures for the remark: more than half of them must be unlike the training photographs."""

RECENT = 50
"""Number of last pictures for the share in the metrics, and for the figures in the remark and the alarm."""

ALARM_AFTER = 200
"""Number of last pictures for the alarm: more than `ALARM_SHARE` of them must be unlike the training photographs. The
same must hold for the last `RECENT` pictures, because a fault that is over needs no alarm.
"""

ALARM_SHARE = 0.25
"""Share of pictures that raises the alarm. On the bundle's own line a share of 0.01 is expected beyond the limit."""

OVER_SHARE = 0.1
"""The remark and the alarm end when fewer of the last `RECENT` pictures are unlike the training photographs."""

REMEDY = "check that bundle, camera and light are those of this line"


class InputWatch:
    """Counts pictures beyond the limit. Verdicts never depend on it."""

    def __init__(self, statistics: InputStatistics, note: Callable[[int, str], None]) -> None:
        """`note` is called with a level of `logging` and a line: the remark, its end, and, for the record, the alarm,
        which `alarms` shows.
        """
        self._statistics, self._note = statistics, note
        self._unlike: deque[bool] = deque(maxlen=ALARM_AFTER)  # the latest first
        self._recent: deque[Measured] = deque(maxlen=RECENT)
        self._has_remarked = False
        self._alarmed_by: str | None = None  # the feature at the time of the alarm, whose text must not change
        self.compared = self.unlike = 0

    @property
    def recent_share(self) -> float | None:
        """Share of the last `RECENT` pictures beyond the limit; None before the first."""
        return len(self._unlike_ones()) / len(self._recent) if self._recent else None

    @property
    def alarms(self) -> tuple[str, ...]:
        """The alarm, as text for users; empty without one."""
        return () if self._alarmed_by is None else (self._figures(self._alarmed_by),)

    def add(self, measured: Measured | Unmeasured) -> None:
        """Count a picture. Unmeasured ends remark and alarm: no further picture could end them."""
        if isinstance(measured, Unmeasured):
            self._note(logging.WARNING, f"pictures are not compared with the training photographs: {measured.why}")
            self._has_remarked, self._alarmed_by = False, None
            self._unlike.clear()
            self._recent.clear()
            return
        is_unlike = self._statistics.is_unlike(measured)
        self._unlike.appendleft(is_unlike)
        self._recent.append(measured)
        self.compared += 1
        self.unlike += is_unlike
        seen = len(self._unlike)
        if self._has_remarked or self._alarmed_by is not None:
            if self._count(RECENT) < OVER_SHARE * RECENT:
                self._end()
                return
        elif seen >= REMARK_AFTER and self._count(REMARK_AFTER) > REMARK_AFTER / 2:
            self._has_remarked = True
            self._note(logging.INFO, self._figures(self._most_unlike()))
        is_lasting = seen == ALARM_AFTER and all(self._count(n) > ALARM_SHARE * n for n in (ALARM_AFTER, RECENT))
        if is_lasting and self._alarmed_by is None:
            self._alarmed_by = self._most_unlike()
            self._note(logging.DEBUG, f"alarm: {self._figures(self._alarmed_by)}")

    def _end(self) -> None:
        count, seen = self._count(RECENT), len(self._recent)
        self._note(logging.INFO, f"pictures are like the training photographs again: {count} of the last {seen} unlike")
        self._has_remarked, self._alarmed_by = False, None
        self._unlike.clear()

    def _count(self, last: int) -> int:
        """How many of the last pictures are unlike the training photographs."""
        return sum(islice(self._unlike, last))

    def _unlike_ones(self) -> list[Measured]:
        return [measured for measured in self._recent if self._statistics.is_unlike(measured)]

    def _most_unlike(self) -> str:
        """The feature in which most of the recent pictures beyond the limit differ most."""
        features = Counter(measured.feature for measured in self._unlike_ones())
        return features.most_common(1)[0][0]

    def _figures(self, feature: str) -> str:
        unlike = self._unlike_ones()
        distance = median(measured.distance for measured in unlike)
        return (
            f"{len(unlike)} of the last {len(self._recent)} pictures are unlike the photographs that the bundle was "
            f"trained on, most in {feature} (median distance {distance:.1f}, limit {self._statistics.limit:.1f}); "
            f"{REMEDY}"
        )
