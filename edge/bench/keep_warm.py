"""Whether it pays to run the model on a dummy frame between parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.bench.pace import said
from edge.bench.recommendation import tail
from edge.bench.result import Series
from edge.bench.settings_grid import named
from edge.bench.statistics import Change, difference


@dataclass(frozen=True)
class Warmth:
    """A series, the same kept warm, and by how many milliseconds p50 changed, and the highest percentile both bound."""

    cool: Series
    warm: Series
    percent: float
    changes: tuple[Change, Change]

    @property
    def pays(self) -> bool:
        """Whether one of them is shorter than chance explains, and neither longer."""
        return any(one.high < 0 for one in self.changes) and not any(one.low > 0 for one in self.changes)

    def words(self) -> str:
        """The advice in one line."""
        median, slow = self.changes
        where = f"{self.cool.bundle}, {named(self.cool.setting)}, {self.cool.way}, {said(self.cool.pace)}"
        by = f"p50 {_signed(median)}, p{self.percent:g} {_signed(slow)}"
        costs = ""
        if self.cool.cpu_s_a_frame and self.warm.cpu_s_a_frame:
            costs = f", for {1000 * (self.warm.cpu_s_a_frame - self.cool.cpu_s_a_frame):.0f} ms of processor a part"
        return f"{where}: keeping it warm {'pays' if self.pays else 'does not pay beyond the noise'}: {by}{costs}"


def warmths(series: Sequence[Series]) -> list[Warmth]:
    """Every pair of series, without and with keeping warm, that are the same otherwise."""
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
    return f"{change.value:+.2f} ms [{change.low:+.2f}, {change.high:+.2f}]"
