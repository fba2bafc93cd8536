"""Whether running the model on a dummy frame between parts shortens latencies."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf

from edge.bench.pace import pace_in_words
from edge.bench.recommendation import tail
from edge.bench.result import Series
from edge.bench.settings_grid import named
from edge.bench.statistics import Change, difference


@dataclass(frozen=True)
class Warmth:
    """A series without and one with keeping warm, and the changes in ms of p50 and the highest bounded percentile."""

    cool: Series
    warm: Series
    percent: float
    changes: tuple[Change, Change]

    @property
    def pays(self) -> bool:
        """Whether at least one of the two percentiles is significantly shorter, and neither is longer."""
        return any(one.high < 0 for one in self.changes) and not any(one.low > 0 for one in self.changes)

    @property
    def is_disturbed(self) -> bool:
        """Whether other processes kept the machine busy during one of the two series."""
        return any(one.disturbance is not None and one.disturbance.is_disturbed for one in (self.cool, self.warm))

    def words(self) -> str:
        """The advice in one line."""
        median, slow = self.changes
        where = f"{self.cool.bundle}, {named(self.cool.setting)}, {self.cool.way}, {pace_in_words(self.cool.pace)}"
        by = f"p50 {_signed(median)}, p{self.percent:g} {_signed(slow)}"
        costs = ""
        if self.cool.cpu_s_a_frame and self.warm.cpu_s_a_frame:
            costs = f", for {1000 * (self.warm.cpu_s_a_frame - self.cool.cpu_s_a_frame):.0f} ms of processor a part"
        if self.is_disturbed:
            return f"{where}: whether keeping it warm pays is not known, others disturbed the measurements: {by}{costs}"
        return f"{where}: keeping it warm {'pays' if self.pays else 'does not pay beyond the noise'}: {by}{costs}"


def warmths(series: Sequence[Series]) -> list[Warmth]:
    """Every pair of series that differ only in keeping warm."""
    pairs = []
    for warm in (one for one in series if one.pace.keeps_warm):
        pace = warm.pace.model_copy(update={"keeps_warm": False})
        key = warm.bundle, warm.way, warm.setting, pace
        cool = next((one for one in series if (one.bundle, one.way, one.setting, one.pace) == key), None)
        if cool is not None and cool.samples_ms and warm.samples_ms:
            percent = tail([cool, warm])
            median, slow = (difference(cool.samples_ms, warm.samples_ms, one) for one in (50.0, percent))
            pairs.append(Warmth(cool, warm, percent, (median, slow)))
    return pairs


def _signed(change: Change) -> str:
    low, high = ("–" if isinf(one) else f"{one:+.2f}" for one in (change.low, change.high))
    return f"{change.value:+.2f} ms [{low}, {high}]"
